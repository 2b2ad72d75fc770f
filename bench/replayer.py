"""Run by another interpreter, with nothing on its path but the folder it is given: replayer.py FOLDER FILE."""

import json
import platform
import sys

sys.path.insert(0, sys.argv[1])

from containment.domain.judge import judge
from containment.domain.policy import parse
from containment.domain.replay import restore


def main() -> int:
    policies, same, different = [], 0, []
    with open(sys.argv[2], encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            said = json.loads(line)
            if "policy" in said:
                policies.append(parse(said["policy"]))
                continue
            now = judge(restore(said["facts"]), policies[said["under"]])
            if now.digest == said["digest"]:
                same += 1
            else:
                different.append(f"line {number}: {now.choice.verdict} at {now.risk}: {now.digest}, recorded {said['digest']}")
    python = f"{platform.python_implementation()} {platform.python_version()}, {' '.join(platform.libc_ver())}".strip(", ")
    print(json.dumps({"python": python, "decisions": same + len(different), "same": same, "different": different[:20]}))  # noqa: T201
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
