"""Drawn pictures as they are shown to others: pixels and a mark of how they were made, signed where a person can sign.

Whatever a file said besides - captions, workflows, places, a camera - is left behind: a PNG of its pixels is written
anew. The mark is IPTC's DigitalSourceType `trainedAlgorithmicMedia` in XMP; signed it is a C2PA manifest as well, by
the extra `provenance`. Nothing is fetched, no time stamp asked for. Read back by portraitist.dataset.claims.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import PngImagePlugin

from portraitist import __version__, durable
from portraitist.dataset import claims
from portraitist.errors import PortraitistError
from portraitist.pictures import open_upright, png

MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for a picture that a trained model made."""

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    ' Iptc4xmpExt:DigitalSourceType="{made}" xmp:CreatorTool="portraitist {version}"/></rdf:RDF></x:xmpmeta>'
    '<?xpacket end="w"?>'
)

QUIET = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_trust": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
}
"""c2pa's settings: no second picture inside, nothing fetched; whom to trust is the reader's to say."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What pictures are signed with.

    chain  certificates in PEM, the signer's own first; key: its private key in PEM, never written anywhere
    kind   C2PA's name of the algorithm, such as ES256
    """

    chain: bytes
    key: bytes
    kind: str

    @classmethod
    def read(cls, chain: Path, key: Path) -> "Signature":
        """From two files. Raises PortraitistError for what is no certificate, no key, or not of one another."""
        try:
            import c2pa  # noqa: F401 - asked for before anything is read
            from cryptography.hazmat.primitives import serialization
            from cryptography.x509 import load_pem_x509_certificates
        except ImportError as error:
            raise PortraitistError(
                "Signing pictures needs the extra `provenance`", "pip install 'portraitist[provenance]'"
            ) from error
        held = [contents(path, what) for path, what in ((chain, "certificate chain"), (key, "key"))]
        try:
            first = load_pem_x509_certificates(held[0])[0]
        except (ValueError, IndexError) as error:
            raise PortraitistError(
                f"{chain} is no certificate chain in PEM", "The signer's own comes first."
            ) from error
        try:
            secret = serialization.load_pem_private_key(held[1], None)
        except (ValueError, TypeError) as error:
            raise PortraitistError(
                f"{key} is no private key in PEM, or is locked by a password", "Give it as PKCS#8 without one."
            ) from error
        shape = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        if secret.public_key().public_bytes(*shape) != first.public_key().public_bytes(*shape):
            raise PortraitistError(f"{key} is not the key of the first certificate in {chain}", "Give that one's key.")
        return cls(held[0], held[1], algorithm(secret))


def contents(path: Path, what: str) -> bytes:
    """A file's bytes. Raises PortraitistError where there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise durable.refusal(error, path, f"read the {what}") from error


def algorithm(key: Any) -> str:
    """What C2PA calls the way that a key signs. Raises PortraitistError for keys that it does not know."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey):
        named = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}.get(key.curve.name, "")
    else:
        named = {ed25519.Ed25519PrivateKey: "ED25519", rsa.RSAPrivateKey: "PS256"}.get(
            next((kind for kind in (ed25519.Ed25519PrivateKey, rsa.RSAPrivateKey) if isinstance(key, kind)), type(key)),
            "",
        )
    if not named:
        raise PortraitistError(
            "Content Credentials are not signed by keys of this kind",
            "Use EC on P-256, P-384 or P-521, Ed25519, or RSA.",
        )
    return named


def shown(path: Path, name: str, signature: Signature | None = None, parameters: str = "") -> bytes:
    """A drawn picture as a PNG that says how it was made and nothing else.

    name        the title in the manifest
    parameters  what a site reads the prompt from, as A1111 writes it; "" says nothing of it
    Raises PortraitistError for a file that is no picture, and where signing fails.
    """
    facts = PngImagePlugin.PngInfo()
    facts.add_itxt("XML:com.adobe.xmp", XMP.format(made=MADE, version=__version__))
    if parameters:
        facts.add_itxt("parameters", parameters)
    data = png(open_upright(path).pixels, facts, level=9)
    return signed(data, name, signature) if signature else data


def signed(data: bytes, name: str, signature: Signature) -> bytes:
    """A PNG with a manifest that says which program made it, and by what. Raises PortraitistError where that fails."""
    import c2pa

    made = {"action": "c2pa.created", "digitalSourceType": MADE, "softwareAgent": {"name": "portraitist"}}
    manifest = {
        "claim_generator_info": [{"name": "portraitist", "version": __version__}],
        "title": name,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}],
    }
    out = io.BytesIO()
    try:
        with c2pa.Builder(manifest, c2pa.Context(c2pa.Settings.from_dict(QUIET))) as builder:
            kind = c2pa.C2paSigningAlg[signature.kind]
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(kind, signature.chain, signature.key, None))
            builder.sign(signer, "image/png", io.BytesIO(data), out)
    except Exception as error:
        why = " ".join(str(error).split())[:160]
        raise PortraitistError(
            f"{name} could not be signed: {why}",
            "The signer's certificate has to be valid now and made for signing; see docs/publishing.md.",
        ) from error
    found = claims.read(out.getvalue())
    if (found.manifest, found.source_type) != ("read", MADE.rpartition("/")[2]):
        raise PortraitistError(
            f"{name} was signed, and cannot be read back: its manifest is {found.manifest or 'not there'}",
            "Check the certificate chain: whole, in order, and valid now.",
        )
    return out.getvalue()
