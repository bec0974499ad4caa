"""Makes labels.npz beside this: 24 clips of every scenario with 4 samples each. python tests/data/make_labels.py"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

if __name__ == "__main__":
    from composed import scenario_config

    from alpamayo_toy.labels.formats.labels_npz import write
    from alpamayo_toy.teachers.synthetic import SyntheticTeacher

    write(SyntheticTeacher(scenario_config("ALL")).labels(24, 4, 0), HERE / "labels.npz")
