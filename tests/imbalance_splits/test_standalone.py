"""The package stands alone and its settings do not need torch."""

import subprocess
import sys

CODE = """
import sys
import imbalance_splits
from imbalance_splits import file_list, image_tree, labels, settings, shots, splitting
for name in settings.setting_names():
    settings.get_setting(name)
imbalance_splits.table_for("PACS", "Duality", parameters={"c": 2.0})
print(sorted({"torch", "torchvision", "ndcl_domainbed", "pandas", "PIL"} & set(sys.modules)))
"""


def test_neither_torch_nor_ndcl_domainbed_is_imported():
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "[]\n"
