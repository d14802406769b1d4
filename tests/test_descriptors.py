"""A worker does not live with a shell's limit of open files."""

import subprocess
import sys

SCRIPT = """
import resource
from gateway.descriptors import raise_limit
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
print(raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard)
"""


def test_the_soft_limit_is_raised_to_what_the_hard_one_allows():
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout.split()
    said, holds, hard = map(int, told)
    assert said == holds > 256 or holds == hard
    assert hard == -1 or holds <= hard


def test_a_low_hard_limit_is_no_reason_to_fail():
    script = SCRIPT.replace("(256, hard)", "(128, 200)")
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert told[:2] == ["200", "200"]
