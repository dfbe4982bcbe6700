"""Draws a plan's frames: terminal, figures and cards at 1080p. Pure Python, and a frame is drawn only when it differs.

The terminal is pyte's; glyphs are drawn once and pasted after that. The same plan gives the same pixels.
"""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pyte
from PIL import Image, ImageDraw, ImageFont
from pyte.screens import Char

from shared.course.film.cast import Cast
from shared.course.film.screenplay import SQUEEZE, Bilingual, Screenplay
from shared.course.film.timeline import Plan, Scene, split
from shared.course.project import spanish_figure
from shared.errors import UserError

SIZE = (1920, 1080)
CELLS = ((104, (17, 34), 28), (120, (15, 30), 25))  # columns up to which a cell has so many pixels, its font so many
HEADER, MARGIN = 76, 64
TERMINAL_TOP = HEADER + 8
CAPTION_TOP = 902

HEADER_SIZE, SPANISH_SIZE, ENGLISH_SIZE, BADGE_SIZE = 30, 33, 25, 40
SMALLEST = 22  # pixels: below it text cannot be read on a phone

Colour = tuple[int, int, int]
BACK, BAR, INK, MUTED = (15, 20, 28), (27, 35, 48), (236, 240, 245), (176, 190, 206)
ACCENT, BADGE = (86, 180, 233), (230, 159, 0)

# pyte's names of the eight colours and their bright kin; anything else arrives as six hexadecimal digits.
PALETTE = {
    "black": (60, 68, 80),
    "red": (255, 123, 114),
    "green": (110, 214, 130),
    "brown": (230, 190, 90),
    "blue": (110, 175, 255),
    "magenta": (220, 150, 240),
    "cyan": (100, 210, 215),
    "white": (214, 222, 232),
    "brightblack": (150, 162, 178),
    "brightred": (255, 160, 150),
    "brightgreen": (150, 235, 165),
    "brightbrown": (250, 215, 120),
    "brightblue": (150, 200, 255),
    "brightmagenta": (240, 180, 255),
    "brightcyan": (140, 235, 240),
    "brightwhite": (255, 255, 255),
}


@functools.cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """One of the DejaVu fonts that matplotlib brings, laid out by the simple engine that is the same everywhere."""
    if size < SMALLEST:
        raise ValueError(f"{size} px is below the {SMALLEST} px that can be read")
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def colour(name: str, default: Colour) -> Colour:
    """A terminal colour as red, green and blue."""
    if name in PALETTE:
        return PALETTE[name]
    try:
        red, green, blue = bytes.fromhex(name)
    except ValueError:
        return default
    return red, green, blue


def cell_of(width: int) -> tuple[tuple[int, int], int]:
    """Pixels of a character and size of its font, for a terminal of so many columns."""
    return next(((cell, size) for columns, cell, size in CELLS if width <= columns), CELLS[-1][1:])


@functools.cache
def glyph(char: str, bold: bool, ink: Colour, paper: Colour, cell: tuple[int, int], size: int) -> Image.Image:
    """One cell of the terminal."""
    drawn = Image.new("RGB", cell, paper)
    name = "DejaVuSansMono-Bold" if bold else "DejaVuSansMono"
    ImageDraw.Draw(drawn).text((0, 1), char, font=font(name, size), fill=ink)
    return drawn


class Terminal:
    """A screen that takes terminal output and keeps its picture up to date, line by line."""

    def __init__(self, width: int, height: int) -> None:
        self.screen = pyte.Screen(width, height)
        self.stream = pyte.Stream(self.screen)
        self.cell, self.font_size = cell_of(width)
        self.picture = Image.new("RGB", (width * self.cell[0], height * self.cell[1]), BACK)
        self._cursor = 0

    def write(self, data: str) -> None:
        """Take output."""
        self.stream.feed(data)

    def draw(self) -> Image.Image:
        """The picture; only lines that changed are drawn again."""
        changed = self.screen.dirty | {self._cursor, self.screen.cursor.y}
        self.screen.dirty.clear()
        self._cursor = self.screen.cursor.y
        for line in sorted(changed):
            self._draw_line(line)
        return self.picture

    def _draw_line(self, line: int) -> None:
        cells = self.screen.buffer[line]
        cursor = self.screen.cursor
        for column in range(self.screen.columns):
            char: Char = cells[column]
            ink, paper = colour(char.fg, INK), colour(char.bg, BACK)
            at_cursor = (line, column) == (cursor.y, cursor.x) and not cursor.hidden
            if char.reverse != at_cursor:
                ink, paper = paper, ink
            drawn = glyph(char.data or " ", char.bold, ink, paper, self.cell, self.font_size)
            self.picture.paste(drawn, (column * self.cell[0], line * self.cell[1]))


class Renderer:
    """Draws the scenes of one film.

    Args:
        screenplay: Titles and captions.
        cast: For the terminal's size.
        results: Folder of the figures.

    Raises:
        UserError: If a caption does not fit its bar, or the terminal the picture.
    """

    def __init__(self, screenplay: Screenplay, cast: Cast, results: Path) -> None:
        (wide, high), _ = cell_of(cast.width)
        if cast.width * wide > SIZE[0] or TERMINAL_TOP + cast.height * high > CAPTION_TOP:
            raise UserError(f"a terminal of {cast.width}×{cast.height} cells does not fit the picture")
        for step in screenplay.steps:
            wrapped(step.caption, f"step {step.id}")
        self.screenplay = screenplay
        self.cast = cast
        self.results = results

    def frames(self, plan: Plan) -> Iterator[tuple[Image.Image, int]]:
        """Every picture of the film with the number of frames for which it stands."""
        for scene in plan.scenes:
            if scene.kind == "terminal":
                yield from self._terminal(scene)
            else:
                yield self._still(scene), scene.frames

    def _still(self, scene: Scene) -> Image.Image:
        if scene.kind == "title":
            return title_card(self.screenplay.title, self.screenplay.subtitle)
        assert scene.chapter is not None
        if scene.kind == "chapter":
            heading = f"{scene.chapter + 1} / {len(self.screenplay.chapters)}"
            return title_card(self.screenplay.chapters[scene.chapter].title, {"es": heading, "en": ""})
        picture = self._frame(scene)
        assert scene.step is not None
        with Image.open(spanish_figure(self.results / scene.step.figure)) as figure:  # the film speaks Spanish
            room = (SIZE[0] - 2 * MARGIN, CAPTION_TOP - TERMINAL_TOP - 24)
            scale = min(room[0] / figure.width, room[1] / figure.height)
            size = round(figure.width * scale), round(figure.height * scale)
            shown = figure.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        picture.paste(shown, ((SIZE[0] - size[0]) // 2, TERMINAL_TOP + 12 + (room[1] - size[1]) // 2))
        return picture

    def _terminal(self, scene: Scene) -> Iterator[tuple[Image.Image, int]]:
        terminal = Terminal(self.cast.width, self.cast.height)
        terminal.write("\x1b[1;32m$\x1b[0m ")
        base = self._frame(scene)
        left = (SIZE[0] - terminal.picture.width) // 2
        for first, last, written in intervals(scene):
            terminal.write(written)
            picture = base.copy()
            picture.paste(terminal.draw(), (left, TERMINAL_TOP))
            if scene.speed > 1 and scene.run_from <= first < scene.run_to:
                badge(picture, scene.speed)
            yield picture, last - first

    def _frame(self, scene: Scene) -> Image.Image:
        """Header and caption bar around what the scene shows."""
        assert scene.chapter is not None and scene.step is not None
        picture = Image.new("RGB", SIZE, BACK)
        draw = ImageDraw.Draw(picture)
        draw.rectangle((0, 0, SIZE[0], HEADER - 8), fill=BAR)
        chapter = self.screenplay.chapters[scene.chapter]
        draw.text((MARGIN, 16), chapter.title["es"], font=font("DejaVuSans-Bold", HEADER_SIZE), fill=INK)
        place = f"{self.screenplay.title['es']} · {scene.chapter + 1}/{len(self.screenplay.chapters)}"
        draw.text((SIZE[0] - MARGIN, 20), place, font=font("DejaVuSans", ENGLISH_SIZE), fill=MUTED, anchor="ra")
        share = (scene.chapter + 1) / len(self.screenplay.chapters)
        draw.rectangle((0, HEADER - 8, round(SIZE[0] * share), HEADER - 4), fill=ACCENT)
        draw.rectangle((0, CAPTION_TOP, *SIZE), fill=BAR)
        lines = wrapped(scene.step.caption, scene.step.id)
        top = CAPTION_TOP + 12
        for language, name, size, ink in CAPTIONS:
            for line in lines[language]:
                draw.text((MARGIN, top), line, font=font(name, size), fill=ink)
                top += size + 9
            top += 6
        return picture


def scrolled_away(screenplay: Screenplay, cast: Cast) -> list[str]:
    """Steps whose beginning has left the screen when they end, long runs aside: half of a listing would be seen."""
    takes, lost = split(cast), []
    for step in screenplay.steps:
        if step.command and step.squeeze <= SQUEEZE:
            screen = pyte.HistoryScreen(cast.width, cast.height)
            pyte.Stream(screen).feed("$ " + "".join(event.data for event in takes[step.id].output))
            lost += [step.id] if screen.history.top else []
    return lost


CAPTIONS = (("es", "DejaVuSans", SPANISH_SIZE, INK), ("en", "DejaVuSans", ENGLISH_SIZE, MUTED))


Frames = Iterator[tuple[Image.Image, int]]
"""Pictures, and the number of frames for which each stands."""


def pictures(plan: Plan) -> int:
    """How many pictures the film has: one where nothing moves."""
    return sum(len(list(intervals(scene))) if scene.kind == "terminal" else 1 for scene in plan.scenes)


def intervals(scene: Scene) -> Iterator[tuple[int, int, str]]:
    """(first frame, frame after the last, output before it) for each stretch of a scene in which nothing changes."""
    writes: dict[int, str] = {0: ""}
    for write in scene.writes:
        frame = min(write.frame, scene.frames - 1)
        writes[frame] = writes.get(frame, "") + write.data
    cuts = sorted({*writes, scene.run_from, min(scene.run_to, scene.frames - 1)})
    for first, last in zip(cuts, [*cuts[1:], scene.frames], strict=True):
        yield first, last, writes.get(first, "")


def wrapped(caption: Bilingual, where: str) -> dict[str, list[str]]:
    """A caption's lines by language, two at most in each.

    Raises:
        UserError: If it is longer.
    """
    lines = {}
    for language, name, size, _ in CAPTIONS:
        lines[language] = _wrap(caption[language], name, size, SIZE[0] - 2 * MARGIN)
        if len(lines[language]) > 2:
            raise UserError(f"{where}: the caption in {language!r} needs {len(lines[language])} lines, two fit")
    return lines


def _wrap(text: str, name: str, size: int, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font(name, size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def badge(picture: Image.Image, speed: int) -> None:
    """Say in the picture that time is compressed."""
    draw = ImageDraw.Draw(picture)
    right, top = SIZE[0] - MARGIN, TERMINAL_TOP + 12
    box = draw.textbbox((right - 16, top + 6), f"×{speed}", font=font("DejaVuSans-Bold", BADGE_SIZE), anchor="ra")
    draw.rounded_rectangle((box[0] - 16, top, right, box[3] + 12), radius=10, fill=BADGE)
    draw.text(
        (right - 16, top + 6), f"×{speed}", font=font("DejaVuSans-Bold", BADGE_SIZE), fill=(20, 20, 20), anchor="ra"
    )


def title_card(title: Bilingual, below: Bilingual) -> Image.Image:
    """A card: the Spanish title large, the English one under it, and a line or two below."""
    picture = Image.new("RGB", SIZE, BACK)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 18, SIZE[1]), fill=ACCENT)
    top = 330
    parts = [(title["es"], "DejaVuSans-Bold", 84, INK), (title["en"], "DejaVuSans", 46, MUTED)]
    parts += [(below["es"], "DejaVuSans", 40, ACCENT), (below["en"], "DejaVuSans", 30, MUTED)]
    for text, name, size, ink in parts:
        for line in _wrap(text, name, size, SIZE[0] - 300):
            draw.text((150, top), line, font=font(name, size), fill=ink)
            top += round(size * 1.3)
        top += 18
    return picture


def digest(frames: Iterator[tuple[Image.Image, int]]) -> str:
    """SHA-256 of all frames and of how long each stands."""
    total = hashlib.sha256()
    for picture, count in frames:
        total.update(f"{picture.size} {count} ".encode())
        total.update(picture.tobytes())
    return total.hexdigest()
