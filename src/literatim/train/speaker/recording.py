"""The bundled sample discussion: three voices kept out of training, who now and then speak at the same time.

    python -m literatim.train.speaker.recording src/literatim/demo/discussions

Its sentences were written for it. Beside it lies its reference, NAME.json, with the true times of every sentence and
word and who says them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from literatim.train.recordings import Plan, Speaker, make
from literatim.train.speech import Espeak, Manner

SEED = 1
SPEAKERS = {
    "A": Speaker("Speaker A", Manner("en-us+m5", 165, 42, 50), 0.9),
    "B": Speaker("Speaker B", Manner("en-us+f4", 170, 55, 60), 0.7),
    "C": Speaker("Speaker C", Manner("en-us+Andy", 160, 48, 55), 0.8),
}
LINES = (
    "Good morning, shall we begin with the plan for the exhibition?",
    "Yes, the posters are printed and the tickets are ready.",
    "I talked with the museum yesterday, and they are very happy.",
    "How many visitors will come on the first day?",
    "About two hundred, because many people will be on holiday.",
    "No, I think it will be three hundred or more.",
    "Then we need more chairs in the big hall.",
    "We have sixty chairs in the basement and forty upstairs.",
    "The chairs in the basement are old, and some are broken.",
    "Can the carpenter repair the chairs before Saturday?",
    "I will call the carpenter this afternoon.",
    "We could also borrow some chairs from the school.",
    "That is a good idea, and it costs nothing.",
    "Who is going to talk to the school?",
    "I can do it tomorrow, my sister works there.",
    "Please ask about the piano, too.",
    "What about the music in the evening?",
    "My cousin plays the violin and would like to come.",
    "Then we should have some tea and cake, too.",
    "Thank you both, we will meet again on Thursday.",
)
PLAN = Plan(
    "exhibition",
    "en",
    0,
    "ABCABCABCABCBACBABCA",
    SPEAKERS,
    overlaps={2: 0.6, 5: 1.0, 8: 0.5, 11: 1.2, 14: 0.4, 18: 0.8},
    lines=LINES,
    module="literatim.train.speaker.recording",
)


def main() -> None:
    """Command line of this module."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m literatim.train.speaker.recording FOLDER")
    make(Path(sys.argv[1]), PLAN, Espeak(), SEED)


if __name__ == "__main__":
    main()
