"""What the log of a `dvc repro` says, line by line: DVC's own words, and those of `src.core.progress`."""

import re

STARTED = re.compile(r"^Running stage '([^']+)'", re.M)
UNCHANGED = re.compile(r"^Stage '([^']+)' (?:didn't change|is cached)", re.M)
FAILED = re.compile(r"^ERROR: failed to reproduce '([^']+)'", re.M)
# what is counted, how many of it are done, of how many, and rate and time left
COUNTED = re.compile(r"^([^:]+): +(\d+) of (\d+), +(.* left)$")
