"""script/bench NAME [options]"""

from __future__ import annotations

import sys

from bench import activity, backtest, chaos, guard, ingest, judge, replay, storm

NAMES = {
    "ingest": ingest.main,
    "activity": activity.main,
    "backtest": backtest.main,
    "storm": storm.main,
    "replay": replay.main,
    "judge": judge.main,
    "guard": guard.main,
    "chaos": chaos.main,
}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print(f"script/bench NAME, where NAME is one of: {', '.join(NAMES)}", file=sys.stderr)  # noqa: T201
        return 2
    return NAMES[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
