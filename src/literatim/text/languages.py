"""Whisper's languages: codes, English names, and the spellings people use for them.

The order is that of the language tokens in Whisper's vocabularies (github.com/openai/whisper,
whisper/tokenizer.py): 99 in the first two generations, `yue` appended by large-v3. The codes are Whisper's
own, which differ from ISO 639-1 in one place (Javanese is `jw`, not `jv`).
"""

from __future__ import annotations

import difflib

from literatim.errors import OptionError

# fmt: off
LANGUAGES: dict[str, str] = {
    "en": "english", "zh": "chinese", "de": "german", "es": "spanish", "ru": "russian",
    "ko": "korean", "fr": "french", "ja": "japanese", "pt": "portuguese", "tr": "turkish",
    "pl": "polish", "ca": "catalan", "nl": "dutch", "ar": "arabic", "sv": "swedish",
    "it": "italian", "id": "indonesian", "hi": "hindi", "fi": "finnish", "vi": "vietnamese",
    "he": "hebrew", "uk": "ukrainian", "el": "greek", "ms": "malay", "cs": "czech",
    "ro": "romanian", "da": "danish", "hu": "hungarian", "ta": "tamil", "no": "norwegian",
    "th": "thai", "ur": "urdu", "hr": "croatian", "bg": "bulgarian", "lt": "lithuanian",
    "la": "latin", "mi": "maori", "ml": "malayalam", "cy": "welsh", "sk": "slovak",
    "te": "telugu", "fa": "persian", "lv": "latvian", "bn": "bengali", "sr": "serbian",
    "az": "azerbaijani", "sl": "slovenian", "kn": "kannada", "et": "estonian", "mk": "macedonian",
    "br": "breton", "eu": "basque", "is": "icelandic", "hy": "armenian", "ne": "nepali",
    "mn": "mongolian", "bs": "bosnian", "kk": "kazakh", "sq": "albanian", "sw": "swahili",
    "gl": "galician", "mr": "marathi", "pa": "punjabi", "si": "sinhala", "km": "khmer",
    "sn": "shona", "yo": "yoruba", "so": "somali", "af": "afrikaans", "oc": "occitan",
    "ka": "georgian", "be": "belarusian", "tg": "tajik", "sd": "sindhi", "gu": "gujarati",
    "am": "amharic", "yi": "yiddish", "lo": "lao", "uz": "uzbek", "fo": "faroese",
    "ht": "haitian creole", "ps": "pashto", "tk": "turkmen", "nn": "nynorsk", "mt": "maltese",
    "sa": "sanskrit", "lb": "luxembourgish", "my": "myanmar", "bo": "tibetan", "tl": "tagalog",
    "mg": "malagasy", "as": "assamese", "tt": "tatar", "haw": "hawaiian", "ln": "lingala",
    "ha": "hausa", "ba": "bashkir", "jw": "javanese", "su": "sundanese", "yue": "cantonese",
}

ALIASES: dict[str, str] = {
    "burmese": "my", "valencian": "ca", "flemish": "nl", "haitian": "ht", "letzeburgesch": "lb",
    "pushto": "ps", "panjabi": "pa", "moldavian": "ro", "moldovan": "ro", "sinhalese": "si",
    "castilian": "es", "mandarin": "zh",
}
# fmt: on

_CODES = {code: code for code in LANGUAGES} | {name: code for code, name in LANGUAGES.items()} | ALIASES


def normalise(language: str) -> str:
    """The code of a language given as code, English name or alias, in any case.

    Raises OptionError, with the nearest known spellings, for anything else.
    """
    spelling = " ".join(language.replace("_", " ").split()).lower()
    if spelling in _CODES:
        return _CODES[spelling]
    nearest = _nearest(spelling)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "give a code such as en, or a name such as English"
    raise OptionError(f"unknown language {language!r}; {hint}")


def _nearest(spelling: str) -> list[str]:
    """Known spellings close to an unknown one; a regional tag (`pt-BR`) leads to its language."""
    base = spelling.replace("-", " ").split(" ")[0]
    if base in _CODES:
        return [f"{_CODES[base]} ({LANGUAGES[_CODES[base]]})"]
    names = [name for name in _CODES if len(name) > 3]
    return [f"{_CODES[name]} ({name})" for name in difflib.get_close_matches(spelling, names, n=3)]
