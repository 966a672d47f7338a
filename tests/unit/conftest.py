import sys
from pathlib import Path

# Used from the role, without an installation.
sys.path.insert(0, str(Path(__file__).parents[2] / "roles/quality_gates/files"))
