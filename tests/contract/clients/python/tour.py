"""Works with azure-sim as any user of the official Python SDK works with Azure: a line a step, 1 at the first mismatch."""

import paired
import protect
import restore
from azure_sim import Tour

Tour().run(protect.STEPS + restore.STEPS + paired.STEPS + restore.LAST)
