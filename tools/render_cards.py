"""Render the facts of the Hub cards in `cards/` from the descriptions of the installed models.

python tools/render_cards.py            writes header and facts of each card again; prose stays
python tools/render_cards.py --check    says what has drifted and writes nothing; exits with 1 if anything has
python tools/render_cards.py NAME ...   only these models; a card that is not there yet is begun
"""

import argparse
import sys
from pathlib import Path

from zoo.cards import check_card, render_card, update_card
from zoo.registry import find

CARDS = Path(__file__).parents[1] / "cards"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    drifted = 0
    for name in options.names or sorted(card.stem for card in CARDS.glob("*.md")):
        spec, card = find(name)[0].spec, CARDS / f"{name}.md"
        if not card.is_file():
            if options.check:
                print(f"{card}: not there yet")
                drifted += 1
                continue
            card.write_text(render_card(spec))
        if not options.check:
            card.write_text(update_card(card.read_text(), spec))
        for line in check_card(card.read_text(), spec):
            print(f"{card.name}: {line}")
            drifted += 1
    return int(options.check and drifted > 0)


if __name__ == "__main__":
    sys.exit(main())
