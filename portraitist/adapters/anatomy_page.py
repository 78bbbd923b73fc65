"""A page that shows where an adapter acts: every layer as a cell, by block and kind, as dark as it adds much."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from portraitist.adapters.anatomy import Acting, grid, shares

STYLE = Markup("""
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 12px; }
th, td { padding: 2px 6px; text-align: left; white-space: nowrap; font-weight: normal; }
td.cell { text-align: right; border: 1px solid #8884; min-width: 3.5em; }
td.bar { width: 24rem; }
td.bar i { display: block; height: .8em; background: #3c7dd9; }
""")


def page(name: str, found: Sequence[Acting]) -> str:
    """The page of a file, whole in itself.

    found  what the adapter adds, layer by layer
    """
    return str(
        Markup(
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            "<title>Where {name} acts</title><style>{style}</style><h1>Where {name} acts</h1>"
            "<p>{summary}</p><h2>By block</h2>{bars}<h2>By layer</h2>"
            "<p>The norm of what is added to each layer's weight; darker is more. Below it, in how many directions of "
            "how many ranks it acts.</p>{cells}{outside}</html>"
        ).format(
            name=name, style=STYLE, summary=summary(found), bars=bars(found), cells=cells(found), outside=outside(found)
        )
    )


def summary(found: Sequence[Acting]) -> str:
    """What stands out, in a sentence or three."""
    dead, full = [one for one in found if not one.norm], [one for one in found if one.full]
    said = [f"{len(found)} layers."]
    said += [f"{len(dead)} change nothing."] if dead else []
    said += [f"{len(full)} use nearly all their ranks: a larger rank might hold more."] if full else []
    return " ".join(said)


def bars(found: Sequence[Acting]) -> Markup:
    """The share of the change's energy by block."""
    rows = Markup("").join(
        Markup('<tr><th>{}</th><td>{}</td><td class="bar"><i style="width:{:.1f}%"></i></td></tr>').format(
            block, f"{share:.1%}", 100 * share / max(max(shares(found).values()), 1e-12)
        )
        for block, share in shares(found).items()
    )
    return Markup("<table>{}</table>").format(rows)


def cells(found: Sequence[Acting]) -> Markup:
    """Every layer within a block as a cell."""
    blocks, kinds, there = grid(found)
    if not blocks:
        return Markup("")
    most = max((one.norm for one in found), default=0.0) or 1.0
    head = Markup("").join(Markup("<th>{}</th>").format(kind) for kind in kinds)
    rows = Markup("").join(
        Markup("<tr><th>{}</th>{}</tr>").format(
            block, Markup("").join(cell(there.get((block, kind)), most) for kind in kinds)
        )
        for block in blocks
    )
    return Markup('<div class="wide"><table><tr><th></th>{}</tr>{}</table></div>').format(head, rows)


def cell(one: Acting | None, most: float) -> Markup:
    """One layer; an empty cell where the adapter has none."""
    if one is None:
        return Markup('<td class="cell"></td>')
    of = f" of {one.rank}" if one.rank else ""
    return Markup('<td class="cell" title="{}" style="background:#3c7dd9{:02x}">{}<br>{}</td>').format(
        escape(one.module), round(200 * one.norm / most), f"{one.norm:.3g}", f"{one.effective:.1f}{of}"
    )


def outside(found: Sequence[Acting]) -> Markup:
    """The layers outside the blocks."""
    rows = Markup("").join(
        Markup("<tr><th>{}</th><td>{}</td></tr>").format(one.module, f"{one.norm:.3g}")
        for one in found
        if not one.block
    )
    return Markup("<h2>Outside the blocks</h2><table>{}</table>").format(rows) if rows else Markup("")
