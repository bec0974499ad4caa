"""What a run of the tests does less of: short drives, crowds, Hydra's own start, layouts of pictures.

Validations drive 8 roads of 1 s, not 64 of 10 s, half of a short run. The teacher of a hidden intention is asked 64
times, not 512, where nobody drives. Hydra composes a command's options twice: first for the value of hydra.mode alone,
which nothing here sets; YAML is read by libyaml, which PyYAML brings along. Panels of pictures are not moved apart,
which takes as long as drawing them.
"""

import yaml
from hydra._internal.hydra import Hydra
from matplotlib.layout_engine import ConstrainedLayoutEngine

from alpamayo_toy.evaluation import drives, reference
from alpamayo_toy.training import loop

drives.SHORT_ROADS = loop.SHORT_ROADS = 8
drives.SHORT_SECONDS = loop.SHORT_SECONDS = 1.0
reference.DRIVERS = 64

Hydra.get_mode = lambda self, config_name, overrides: None
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ConstrainedLayoutEngine.execute = lambda self, figure: None
