"""A dictation's spoken markup as it is meant: punctuation, paragraphs, and sections under their headings, with times.

`{period}` and the like become marks (`literatim.text.marks`), `[FINDINGS]` begins a section. No letter is changed, and
markup that is not known stays where it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from literatim.text.marks import COMMAND, HEADING, LINE, PARAGRAPH, Mark, mark
from literatim.types import Segment, Transcript, Word

_PART = re.compile(rf"{COMMAND.pattern}|{HEADING.pattern}|(?:(?!{COMMAND.pattern}|{HEADING.pattern})\S)+")
_LEADING = (":", LINE, PARAGRAPH)  # what a heading says of itself


@dataclass(frozen=True)
class Span:
    """A stretch of raw text and its times in seconds; None where they are not known."""

    text: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Item:
    """A word, a command or a heading: as it was said (`raw`) in spans `first` to `last`, and what it stands for."""

    raw: str
    text: str
    mark: Mark | None = None
    heading: bool = False
    start: float | None = None
    end: float | None = None
    first: int = 0
    last: int = 0


@dataclass(frozen=True)
class Paragraph:
    """Rendered text; seconds of its first and last word."""

    text: str
    start: float | None
    end: float | None

    def to_dict(self) -> dict[str, Any]:
        """Text and times."""
        return {"text": self.text, "start": self.start, "end": self.end}


@dataclass(frozen=True)
class Section:
    """What stands under a heading; None is what was said before the first one."""

    heading: str | None
    paragraphs: tuple[Paragraph, ...]
    start: float | None
    end: float | None

    @property
    def text(self) -> str:
        """The paragraphs, a blank line between them."""
        return PARAGRAPH.join(paragraph.text for paragraph in self.paragraphs)

    def to_dict(self) -> dict[str, Any]:
        """Heading, text, times and paragraphs."""
        return {
            "heading": self.heading,
            "text": self.text,
            "start": self.start,
            "end": self.end,
            "paragraphs": [paragraph.to_dict() for paragraph in self.paragraphs],
        }


@dataclass(frozen=True)
class Report:
    """A dictation in sections."""

    sections: tuple[Section, ...]

    def text(self) -> str:
        """Headings as they are written in reports: `FINDINGS: ...`; a blank line between sections."""
        return PARAGRAPH.join(_titled(f"{section.heading}:", section, " ") for section in self.sections)

    def markdown(self) -> str:
        """Headings of the second level; characters that Markdown takes for its own are escaped."""
        parts = (
            _titled(f"## {section.heading}", replace(section, paragraphs=_escaped(section)), PARAGRAPH)
            for section in self.sections
        )
        return PARAGRAPH.join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The rendered text, and the sections with their times."""
        return {"text": self.text(), "sections": [section.to_dict() for section in self.sections]}


def _titled(title: str, section: Section, gap: str) -> str:
    if section.heading is None:
        return section.text
    return f"{title}{gap}{section.text}" if section.text else title


def _escaped(section: Section) -> tuple[Paragraph, ...]:
    return tuple(replace(paragraph, text=escaped(paragraph.text)) for paragraph in section.paragraphs)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is (CommonMark 0.31, 2.4), with its line breaks."""
    text = re.sub(r"([\\`*_\[\]<>#&|~])", r"\\\1", text)
    text = re.sub(r"(?m)^(\s*)([-+])", r"\1\\\2", text)
    text = re.sub(r"(?m)^(\s*\d+)([.)])(?=\s|$)", r"\1\\\2", text)
    return text.replace(LINE, f"\\{LINE}")


def spans_of(transcript: Transcript) -> list[Span]:
    """The words of a transcript with their times; of segments without words their texts."""
    spans = []
    for segment in transcript.segments:
        if segment.words is None:
            spans.append(Span(segment.text, segment.start, segment.end))
        else:
            spans += _spoken(segment.words)
    return spans


def _spoken(words: Iterable[Word]) -> list[Span]:
    return [Span(word.word, word.start, word.end) for word in words]


def parse(said: str | Sequence[Span]) -> tuple[Item, ...]:
    """Words, commands and headings in their order; a command of several words takes the times of all of them."""
    spans = [Span(said)] if isinstance(said, str) else said
    text, owners = "", list[int]()
    for index, span in enumerate(spans):
        word = f"{' ' if index else ''}{span.text.strip()}"
        text += word
        owners += [index] * len(word)
    items = []
    for match in _PART.finditer(text):
        first, last = owners[match.start()], owners[match.end() - 1]
        start, end = spans[first].start, spans[last].end
        items.append(replace(_item(match), start=start, end=end, first=first, last=last))
    return tuple(items)


def _item(match: re.Match[str]) -> Item:
    raw = " ".join(match[0].split())
    if match[1] is not None:
        found = mark(match[1])
        return Item(raw, found.text if found else raw, found)
    return Item(raw, raw[1:-1].strip(), heading=True) if match[2] is not None else Item(raw, raw)


def raw(items: Iterable[Item]) -> str:
    """The markup again, one space between words."""
    return " ".join(item.raw for item in items)


def plain(said: str | Sequence[Span]) -> str:
    """Punctuation and paragraphs in one text; headings stay in their brackets."""
    return _joined(_bracketed(parse(said)))


def _bracketed(items: Iterable[Item]) -> list[Item]:
    return [replace(item, text=item.raw) if item.heading else item for item in items]


def _joined(items: Iterable[Item]) -> str:
    return "".join(_texts(items))


def _texts(items: Iterable[Item]) -> list[str]:
    """What each item adds to a text, spaces included; of breaks in a row the greatest counts, at either end none."""
    out: list[str] = []
    glued, broken = True, -1  # whether no space comes next; which item is the break that the text ends in
    for item in items:
        before, after = (item.mark.before, item.mark.after) if item.mark else (False, False)
        if item.mark and item.text in (LINE, PARAGRAPH):
            if broken >= 0:
                out[broken] = max(out[broken], item.text, key=len)
            elif any(out):
                broken = len(out)
            out.append(item.text if broken == len(out) else "")
        else:
            out.append(item.text if glued or before else f" {item.text}")
            broken = -1
        glued = after
    if broken >= 0:
        out[broken] = ""
    return out


def rendered(transcript: Transcript) -> Transcript:
    """The transcript with its markup as punctuation; its words then are what `plain` puts together."""
    segments = tuple(rendered_segment(segment) for segment in transcript.segments)
    return replace(transcript, text=plain(transcript.text), segments=segments)


def rendered_segment(segment: Segment) -> Segment:
    """One segment with its markup as punctuation, and its words, each mark of it one of them."""
    if segment.words is None:
        return replace(segment, text=f" {plain(segment.text)}")
    items = _bracketed(parse(_spoken(segment.words)))
    texts = _texts(items)
    if texts:
        texts[0] = f" {texts[0]}"  # as in every segment, a space comes first
    made = zip(items, texts, strict=True)
    words = tuple(_word(text, segment.words[item.first : item.last + 1]) for item, text in made if text)
    return replace(segment, text="".join(word.word for word in words), words=words)


def _word(text: str, said: Sequence[Word]) -> Word:
    """What is rendered of one or more words; its probability is that all of them are right."""
    sure = math.prod(word.probability for word in said)
    return Word(text, said[0].start, said[-1].end, sure, said[0].speaker)


def report(said: str | Sequence[Span] | Transcript) -> Report:
    """Sections and paragraphs, each with the times of its first and last word."""
    spans = spans_of(said) if isinstance(said, Transcript) else said
    return Report(tuple(_section(part) for part in _parts(parse(spans)) if part.items or part.heading))


@dataclass
class _Part:
    """The items from one heading to the next."""

    heading: Item | None
    items: list[Item] = field(default_factory=list)


def _parts(items: Iterable[Item]) -> list[_Part]:
    parts = [_Part(None)]
    for item in items:
        if item.heading:
            parts.append(_Part(item))
        else:
            parts[-1].items.append(item)
    return parts


def _section(part: _Part) -> Section:
    items = part.items
    if part.heading is not None:  # its colon and the breaks after it are said of the heading
        first = next((i for i, item in enumerate(items) if not (item.mark and item.text in _LEADING)), len(items))
        items = items[first:]
    paragraphs = tuple(_paragraph(each) for each in _paragraphs(items))
    ends = [part.heading, *part.items] if part.heading else part.items
    return Section(part.heading.text if part.heading else None, paragraphs, ends[0].start, ends[-1].end)


def _paragraphs(items: Iterable[Item]) -> Iterator[list[Item]]:
    found: list[Item] = []
    for item in items:
        if not (item.mark and item.text == PARAGRAPH):
            found.append(item)
        elif _joined(found):
            yield found
            found = []
    if _joined(found):
        yield found


def _paragraph(items: Sequence[Item]) -> Paragraph:
    return Paragraph(_joined(items), items[0].start, items[-1].end)
