"""The sections of a recipe: every key, its range and what it means. docs/recipe.md is made from these."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of a recipe: frozen, unknown keys refused, numbers finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Parts(Section):
    """Parts of a base that lie elsewhere: each a publisher's `.safetensors` file, or a folder in diffusers' layout.

    transformer     the denoiser, of every family but sdxl; "" takes the base's own, as for the others
    unet            the denoiser of sdxl
    vae             what makes latents of pictures, and pictures of latents
    text_encoder    CLIP-L of sdxl and flux, the language model of the others
    text_encoder_2  CLIP-G of sdxl, T5-XXL of flux
    """

    transformer: str = ""
    unet: str = ""
    vae: str = ""
    text_encoder: str = ""
    text_encoder_2: str = ""


class Model(Section):
    """The base that is trained on.

    family      as in the registry; the README lists them
    base        a folder in diffusers' or in ComfyUI's layout, a `.safetensors` file, or the name of a model on the
                Hugging Face Hub, cached or not (docs/bases.md); "" is the embedded base of the family `mini`
    parts       parts of the base that lie elsewhere, and go before its own
    tokenizers  a folder in diffusers' layout, or the name of a model likewise, whose tokenizers are taken: publishers'
                files have none; "" takes the base's own
    prediction  what an sdxl base predicts, noise (epsilon) or v, where it does not say so itself; "" believes the base,
                and where that is silent takes epsilon
    precision   of the frozen weights and of the arithmetic (autocast); the adapter itself is float32; auto is bfloat16,
                and float32 on a CPU that has no arithmetic for that
    quantised   int8, fp8, nf4 (4 bits), int3 or int2 holds the linear layers of the denoiser's blocks in less memory;
                int3 and int2 need a recovery adapter; "" holds them in `precision` (docs/bases.md)
    recovery    with nf4, int3 or int2: a file that gives back part of what they lose, made for this base by
                `portraitist recover`; "" is none
    offload     share of the denoiser's blocks whose frozen weights lie in main memory and come to the CUDA card when
                they are computed, in training and judging; 0 keeps all on it
    device      auto (the first accelerator, else cpu), cpu, cuda, cuda:1, mps
    threads     CPU threads of torch; 0 takes all cores. Recorded: bit-exact resume needs the same number
    """

    family: str = "mini"
    base: str = ""
    parts: Parts = Parts()
    tokenizers: str = ""
    prediction: Literal["", "epsilon", "v"] = ""
    precision: Precision = "bfloat16"
    quantised: Literal["", "int8", "fp8", "nf4", "int3", "int2"] = ""
    recovery: str = ""
    offload: float = Field(0.0, ge=0, le=1)
    device: str = "auto"
    threads: int = Field(0, ge=0, le=1024)


class Set(Section):
    """One set of pictures, by the folder it lies in below `pictures/`.

    name         the folder; "" is the top
    role         what the set is for; prior: others of the character's kind, captioned without the trigger, so that the
                 noun keeps its meaning
    weight       times each of its pictures is seen per pass; 0 takes the folder's `40_` prefix, or 1
    loss_weight  factor on the loss of its pictures
    references   for edit models: up to three folders outside `pictures/`, from the character's folder where not
                 absolute; each picture is shown with the one of its own name in each of them
    tag          a second trigger that captions of this set get after the first, such as realistic_body or red_dress
    template     of this set's captions; "" takes `captioning.template`
    """

    name: str = ""
    role: Literal["identity", "realism", "outfit", "style", "prior"] = "identity"
    weight: int = Field(0, ge=0, le=10_000)
    loss_weight: float = Field(1.0, ge=0, le=100)
    references: tuple[str, ...] = Field((), max_length=3)
    tag: str = Field("", max_length=60, pattern=r"^[^\s,.]*$")
    template: str = ""


class Data(Section):
    """Which pictures, how cut, how split.

    resolution  side in pixels of the square whose area every bucket has; 0 takes the base's own
    aspect      longest side over shortest side of the most extreme bucket
    crops       crops taken per picture, spread along its longer side; deterministic
    held_out    share of pictures (by near-duplicate group) kept from training; none below 8 pictures
    dropout     share of exposures that take the empty caption
    masks       loss weight of the background where a picture has a mask (a file
                `name-masklabel.png` beside it, else its alpha); 1.0 ignores masks
    references  for edit models: up to three pictures that every picture is shown with, unless its set has references
                of its own; judging draws with them. From the character's folder where not absolute
    sets        weights and roles of the sets; sets not named here count by their folder prefix
    """

    resolution: int = Field(0, ge=0, le=4096)
    aspect: float = Field(2.0, ge=1, le=8)
    crops: int = Field(1, ge=1, le=8)
    held_out: float = Field(0.125, ge=0, le=0.5)
    dropout: float = Field(0.05, ge=0, le=1)
    masks: float = Field(1.0, ge=0, le=1)
    references: tuple[str, ...] = Field((), max_length=3)
    sets: tuple[Set, ...] = ()


class Adapter(Section):
    """What is trained.

    kind     lora: low-rank factors beside the base's layers; loha: two of those multiplied entry by entry; lokr: a
             Kronecker product, much smaller; full: all of the denoiser
    rank     of the factors; of lokr, one from half the larger matrix's side on stores that whole, with a scale of 1
    alpha    their scale is alpha / rank; 0 takes the rank, for a scale of 1
    dropout  of the factors' input, with lora
    factor   of lokr, sides of its smaller matrix; 0 takes what is nearest to the square root of a layer's
    modules  the layers, as a set by name: the family's own; attention; attention-mlp; blocks; locon, which has SDXL's
             convolutions too; all-linear
    targets  the layers, as peft's suffixes in place of a set
    weights  of full, what they are held in while they are trained: float32; or bfloat16, where each step's result is
             rounded up or down by chance, so that steps too small for it count on average, at half the memory
    start    an adapter file that training starts from, of any program, on these layers with this kind, rank and alpha;
             from the character's folder where the path is not absolute; "" starts afresh
    """

    kind: Literal["lora", "loha", "lokr", "full"] = "lora"
    rank: int = Field(16, ge=1, le=1024)
    alpha: float = Field(0.0, ge=0, le=4096)
    dropout: float = Field(0.0, ge=0, lt=1)
    factor: int = Field(0, ge=0, le=1024)
    modules: Literal["family", "attention", "attention-mlp", "blocks", "locon", "all-linear"] = "family"
    targets: tuple[str, ...] = ()
    weights: Literal["float32", "bfloat16"] = "float32"
    start: str = ""


class Stage(Section):
    """One stretch of training.

    name   what people call it
    steps  optimiser steps it takes
    sets   the sets it sees; empty is all
    rate   factor on the learning rate
    """

    name: str = "main"
    steps: int = Field(gt=0, le=10_000_000)
    sets: tuple[str, ...] = ()
    rate: float = Field(1.0, gt=0, le=10)


class Training(Section):
    """How it is trained. The one unit of budget is the optimiser step.

    batch         pictures per forward pass
    accumulate    forward passes per step; a step's loss is the mean over all its pictures
    rate          learning rate at its height; of Prodigy a factor on the rate it finds, 1.0
    schedule      a function of the step alone: constant, or cosine or linear down to `floor` times the rate
    floor         where a falling schedule ends, as a share of the rate
    warmup        steps from 0 to the full rate
    optimiser     adamw; adafactor, which keeps less; adamw8bit, AdamW whose averages take 8 bits; prodigy, which finds
                  the rate; schedulefree, whose average needs no falling rate. The last three need the packages of the
                  extra `optimisers`
    beta1         memory of the gradient; of schedulefree, how near to the average gradients are taken
    beta2         memory of its square
    weight_decay  share of the weights, times the rate, that each step takes off
    max_gradient  norm the gradient is clipped to, once per step; 0 does not clip
    ema           decay of the averaged weights that are judged and exported; 0 averages nothing. Schedulefree has an
                  average of its own
    level         distribution of training noise levels: the family's own; uniform; logit-normal, densest in the middle
    level_mean    of a logit-normal: above 0 is towards noise
    level_spread  of a logit-normal
    level_shift   moves levels of a flow towards noise, t to shift t / (1 + (shift - 1) t); 1 leaves them
    stratified    whether a step's levels are spread: one in each of as many equal shares as it has pictures
    snr_gamma     most that a level's signal-to-noise ratio counts in the loss of SDXL (min-SNR; 5 is common); 0 weighs
                  all levels alike
    recompute     whether blocks keep their inputs alone and are computed again going back (gradient checkpointing):
                  the family's own (on, but for mini), on, off. The result is the same
    preserve      weight of holding what the captions draw with the noun of project.toml in the trigger's place to what
                  the base draws of them, against the character leaking into everyone; 0 holds nothing, else a step
                  costs more than twice as much
    save_every    steps between checkpoints
    keep          checkpoints that can be resumed from, the newest ones. Adapters are all kept; of a whole denoiser
                  (adapter.kind = "full") an older one stays while it waits for a judging that is under way, is among
                  among those that judging may come to (`judging.cells`), or is the chosen one
    seed          of every random draw
    """

    batch: int = Field(8, ge=1, le=4096)
    accumulate: int = Field(1, ge=1, le=4096)
    rate: Rate = 1e-4
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    floor: float = Field(0.1, ge=0, le=1)
    warmup: int = Field(0, ge=0)
    optimiser: Literal["adamw", "adafactor", "adamw8bit", "prodigy", "schedulefree"] = "adamw"
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.99, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0, le=10)
    max_gradient: float = Field(1.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    level: Literal["family", "uniform", "logit-normal"] = "family"
    level_mean: float = Field(0.0, ge=-5, le=5)
    level_spread: float = Field(1.0, gt=0, le=5)
    level_shift: float = Field(1.0, gt=0, le=20)
    stratified: bool = False
    snr_gamma: float = Field(0.0, ge=0, le=1000)
    recompute: Literal["family", "on", "off"] = "family"
    preserve: float = Field(0.0, ge=0, le=100)
    save_every: int = Field(50, ge=1)
    keep: int = Field(2, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)


class Audit(Section):
    """What the audit expects of pictures; it judges what was measured, so that a change counts at once.

    quota       shares of close-up, mid and full that it asks for: G4 (20-30, 40-50, 20-30 %), or G1 (its 70 pictures,
                with more full bodies)
    framing     ranges of your own, as shares, which go before those of the quota: close-up = [0.2, 0.3], mid, full
    thresholds  other numbers of the audit by their names in docs/audit.md, such as sharpness = 30
    """

    quota: Literal["G4", "G1"] = "G4"
    framing: dict[Literal["close-up", "mid", "full"], tuple[Share, Share]] = {}
    thresholds: dict[str, float] = {}


class Work(Section):
    """Who measures pictures and asks taggers about them; results are the same whoever does.

    processes  of this machine that measure 64 pictures or more (fewer are measured at once, by one); 0 takes its cores.
               Taggers are asked by so many only when it is said
    ray        address of a Ray cluster that does both instead: "auto", "local", "host:6379", "ray://host:10001"; "" is
               none. Its nodes have portraitist installed, and see the character's folder and models by the same paths
    """

    processes: int = Field(0, ge=0, le=1024)
    ray: str = ""


class Sight(Section):
    """Models that see what pictures show: files on this machine, never fetched. Paths are from the character's folder.

    faces        auto: OpenCV's own cascades, made of photographs, and nothing for the family mini; off; or a file:
                 YuNet (`.onnx`), which tells views too, or a cascade (`.xml`), as there are for drawn faces
    recognition  of faces, SFace or shaped like ArcFace (`.onnx`), to tell whose they are; needs YuNet's points; "" is
                 none
    embedding    of whole pictures, such as DINOv2 or CLIP (`.onnx`); "" is none
    pose         of bodies, such as RTMPose or ViTPose (`.onnx`), which judging counts joints with; "" is none
    eyes         family: the family's own eyes, where it has any (mini), tell framing and who it is; loads torch. Or off
    """

    faces: str = "auto"
    recognition: str = ""
    embedding: str = ""
    pose: str = ""
    eyes: Literal["off", "family"] = "off"


class Comfy(Section):
    """A running ComfyUI that draws for judging, where `judging.render` is comfyui (docs/comfyui-server.md).

    url           its address, such as http://127.0.0.1:8188; "" takes the environment variable COMFY_URL
    key_variable  the environment variable that holds a key, where something before it wants one; "" sends none
    files         of the base, by part (transformer, text_encoder, vae, ...; unet is SDXL's checkpoint), where they are
                  called otherwise than Comfy-Org calls them
    workflow      a file in API format to draw by, from the character's folder where the path is not absolute; "" takes
                  the family's own, of core nodes
    prompt        where the prompt goes in that file, as node.input, the node by its id or title; so with the others
    seed          the seed
    lora          the name of the LoRA's file
    strength      its strengths; empty takes those of that node
    guidance      of the sampler; "" leaves the workflow's, as for the others
    steps         of the sampler
    width         of the picture, pixels
    height        of the picture, pixels
    references    of `data.references`, one place for each
    loras         a folder, as seen from here, in which it looks for LoRAs: they are written there, and not sent
    timeout       seconds for one picture, waiting in its queue included
    """

    url: str = ""
    key_variable: str = Field("", pattern=r"^[A-Za-z_0-9]*$")
    files: dict[str, str] = {}
    workflow: str = ""
    prompt: str = ""
    seed: str = ""
    lora: str = ""
    strength: tuple[str, ...] = ()
    guidance: str = ""
    steps: str = ""
    width: str = ""
    height: str = ""
    references: tuple[str, ...] = Field((), max_length=3)
    loras: str = ""
    timeout: float = Field(900.0, gt=0, le=86_400)


class Judging(Section):
    """How checkpoints are judged and chosen.

    prompts         texts with {trigger} and {noun}; empty takes them from the brief, else the guides' five
    seeds           pictures per prompt for the full grid
    screen          pictures per checkpoint in the cheap screen
    cells           checkpoints at a strength that are drawn by the full grid and probed, at most (but as many as there
                    are strengths): from the latest that may be the likest, at the weakest strength, on to stronger ones
                    while the gates are kept to, and to earlier ones where evidently they are not
    strengths       strengths tried in the full grid
    guidance        classifier-free guidance; 0 takes the base's own
    guidances       others that the best is tried at; empty tries none
    sampling_steps  0 takes the base's own, or fewer where the budget asks for it
    side            pixels along a picture's side; 0 takes that of training, or less where the budget asks for it
    budget          most that judging may cost, as a share of what training does, by the forecast: what is drawn is cut
                    down to that, as `plan` says; 0 is no limit
    losses          held-out samples, at most, on which each checkpoint's loss is taken, and as many trained on
    max_drop        largest loss of prompt agreement that passes the gate: against the base, or against what can be
                    read of the character's own pictures where that is less; one up to twice as large passes while its
                    interval leaves it open that nothing was lost
    prefer          what decides among what passes: likeness, or freedom (the freest that is like enough)
    patience        checkpoints without better likeness after which `run` stops training early; 0 never stops
    unnamed         pictures per cell that name the character by its noun: they must be the base's own
    paraphrases     pictures per cell that ask in other words
    restyled        pictures per cell that ask for a style, an outfit and a scene that no caption names
    companion       a style LoRA for this base, in any dialect: the choice is judged beside it too; from the
                    character's folder where the path is not absolute; "" is none
    companion_strengths  strengths that it has then
    beside          whether `run` judges while it trains, with the base on the card twice: auto does where the forecast
                    says that the card has room for both, and on a CPU; always; never judges after training
    render          who draws: own, the base on this machine; or comfyui, a running ComfyUI with the base that it has
    comfyui         which one, and by what workflow
    """

    prompts: tuple[str, ...] = ()
    seeds: int = Field(2, ge=1, le=64)
    screen: int = Field(8, ge=1, le=256)
    cells: int = Field(5, ge=1, le=64)
    strengths: tuple[Annotated[float, Field(gt=0, le=2)], ...] = Field((0.7, 0.85, 1.0), min_length=1)
    guidance: float = Field(0.0, ge=0, le=30)
    guidances: tuple[Annotated[float, Field(gt=0, le=30)], ...] = ()
    sampling_steps: int = Field(0, ge=0, le=200)
    side: int = Field(0, ge=0, le=4096)
    budget: float = Field(0.0, ge=0, le=100)
    losses: int = Field(16, ge=1, le=256)
    max_drop: float = Field(0.05, ge=0, le=1)
    prefer: Literal["likeness", "freedom"] = "likeness"
    patience: int = Field(0, ge=0, le=100)
    unnamed: int = Field(4, ge=0, le=256)
    paraphrases: int = Field(4, ge=0, le=256)
    restyled: int = Field(8, ge=0, le=256)
    companion: str = ""
    companion_strengths: tuple[Annotated[float, Field(gt=0, le=2)], ...] = (0.6, 0.8)
    beside: Literal["auto", "always", "never"] = "auto"
    render: Literal["own", "comfyui"] = "own"
    comfyui: Comfy = Comfy()

    @property
    def in_full(self) -> int:
        """How many cells are drawn in full at most: at least one for each strength."""
        return max(self.cells, len(set(self.strengths)))
