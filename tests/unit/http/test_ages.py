"""Ages in words, which the server writes and the script of the console's frame renews."""

import json
import subprocess

from playwright._impl._driver import compute_driver_executable

from api.console.assets import STATIC_DIR
from api.console.text_filters import format_age

AGES_S = [0, 0.4, -0.9, 1.2, 9.4, 42, 119, 120, 3599, 3600, 3661, 86_399, 86_400, 90_000, 4_000_000]


def test_the_script_says_ages_as_the_server_does() -> None:
    """Words that are renewed differ from the earlier ones only if time has passed."""
    ages = [*AGES_S, *(-age for age in AGES_S)]
    program = (
        f"{(STATIC_DIR / 'ages.js').read_text()}\nconsole.log(JSON.stringify({json.dumps(ages)}.map(describeAge)));"
    )
    command = [compute_driver_executable()[0], "--input-type=module", "--eval", program]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(process.stdout) == [format_age(age) for age in ages]
