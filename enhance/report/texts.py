"""The report's words: what there is to say, and how English says it. Chinese is in texts_zh.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True)
class Texts:
    """One language's words; `{}` stands for a value."""

    language: str
    date_form: str
    title: str
    subject: str
    task: str
    page: str
    before: str
    after: str
    whole: str
    places: str
    places_note: str
    before_note: str
    after_note: str
    detailed: str
    even: str
    middle: str
    place_at: str
    pixels: str
    megapixels: str
    bytes: str
    files: str
    name: str
    size: str
    file_size: str
    colour: str
    bits: str
    grey: str
    grey_alpha: str
    palette: str
    made: str
    preset: str
    presets: Mapping[str, str]
    scale: str
    model: str
    source: str
    checksum: str
    device: str
    precision: str
    tile: str
    tile_value: str
    speed: str
    speed_value: str
    memory: str
    faces: str
    signature: str
    settings: str
    settings_note: str
    tuning_off: str
    unused: str
    strength: str
    denoise: str
    sharpen: str
    saturation: str
    contrast: str
    time: str
    seconds: str
    total: str
    cached: str
    decode: str
    scene: str
    network: str
    tuning: str
    encode: str
    light: str
    brightness: str
    red: str
    green: str
    blue: str
    light_note: str
    fidelity: str
    psnr: str
    psnr_note: str
    ssim: str
    ssim_note: str
    sharpness: str
    sharpness_note: str
    agreement: str
    agreement_note: str
    identical: str
    unknown: str
    not_measured: str

    def date(self, when: datetime) -> str:
        """Day and minute, in the time zone of `when`."""
        return self.date_form.format(when=when, month=_MONTHS[when.month - 1])

    @property
    def all(self) -> list[str]:
        """Every text there is."""
        texts = [getattr(self, field.name) for field in fields(self)]
        return [text for text in texts if isinstance(text, str)] + list(self.presets.values())

    def preset_name(self, preset: object) -> str | None:
        """What the page calls the preset; one that it does not know stands for itself."""
        return self.presets.get(str(preset), str(preset)) if preset else None

    def named(self, key: str) -> str:
        """The word for a key of the facts, such as a stage or a setting; a key without one stands for itself."""
        return getattr(self, key) if key in _WORDS else key.replace("_", " ").capitalize()


_WORDS = frozenset(field.name for field in fields(Texts)) - {"presets"}

ENGLISH = Texts(
    language="en",
    date_form="{when.day} {month} {when.year}, {when:%H:%M}",
    title="Enhancement report",
    subject="Before and after, settings and measurements of one picture",
    task="Task {}",
    page="Page {} of {}",
    before="Before",
    after="After",
    whole="The whole picture",
    places="Three places, pixel for pixel",
    places_note="{} × {} pixels of the result each, at the places marked above",
    before_note="Before: the input, enlarged bicubically to the result’s size",
    after_note="After: the result",
    detailed="Most detailed",
    even="Most even",
    middle="Middle",
    place_at="x {} · y {}",
    pixels="{} × {} px",
    megapixels="{} megapixels",
    bytes="{} bytes",
    files="Files",
    name="File name",
    size="Size",
    file_size="File size",
    colour="Colour",
    bits="{}, {} bit",
    grey="Grey",
    grey_alpha="Grey + alpha",
    palette="Palette",
    made="How it was made",
    preset="Preset",
    presets={
        "gentle": "Gentle",
        "original": "Original",
        "anime": "Anime",
        "anime-fast": "Anime, fast",
        "face": "Face",
        "dehaze": "Dehaze",
        "fast": "Fast",
    },
    scale="Scale",
    model="Model",
    source="Weights from",
    checksum="Model’s SHA-256",
    device="Device",
    precision="Precision",
    tile="Tile",
    tile_value="up to {} px",
    speed="Network speed",
    speed_value="{} input megapixels a second",
    memory="Peak memory",
    faces="Faces restored",
    signature="Signature",
    settings="Settings",
    settings_note="The tick is the neutral position",
    tuning_off="Tuning is off: this is the network’s output",
    unused="not used",
    strength="Strength",
    denoise="Denoise",
    sharpen="Sharpen",
    saturation="Saturation",
    contrast="Contrast",
    time="Time by stage",
    seconds="{} s",
    total="Total",
    cached="The result was stored already; these are the times of the run that made it",
    decode="Read",
    scene="Scene",
    network="Network",
    tuning="Tuning",
    encode="Write",
    light="Brightness and colour",
    brightness="Brightness",
    red="Red",
    green="Green",
    blue="Blue",
    light_note="Share of the pixels at each level",
    fidelity="Fidelity and sharpness",
    psnr="PSNR",
    psnr_note="The result averaged down to {}\u00a0×\u00a0{}\u00a0px, against the input. "
    "Higher is closer; tuning lowers it on purpose.",
    ssim="SSIM",
    ssim_note="The same comparison by structure (Wang and others, 2004). 1 means that the pictures are equal.",
    sharpness="Sharpness",
    sharpness_note="Variance of the Laplacian, before and after, both at the result’s size. Higher is sharper.",
    agreement="Preview and final",
    agreement_note="PSNR of the previewed square against the same square of the result.",
    identical="identical",
    unknown="–",
    not_measured="Not measured: there was no preview.",
)
