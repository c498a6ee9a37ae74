# SPDX-License-Identifier: Apache-2.0
"""Writes constraints.txt: one tested version of every package, for Python 3.10 to 3.13 on Linux.

Run it with ``make lock`` after a change of a requirement, or to move on to newer versions.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import tomllib

HERE = Path(__file__).resolve().parent
PROJECTS = (HERE.parent, HERE / 'wheels', HERE / 'stand_ins')
UV = 'uv==0.13.8'
# The wheel of torch on PyPI would add gigabytes for CUDA, so torch is pinned by hand, and what it
# needs on every machine is named here.
TORCH = 'torch==2.13.0'
TORCH_NEEDS = (
    'filelock',
    'fsspec>=0.8.5',
    'jinja2',
    'networkx>=2.5.1',
    'setuptools>=77.0.3',
    'sympy>=1.13.3',
    'typing-extensions>=4.10.0',
)
OWN = ('flowcam-ros', 'torch')
# What set_up.py installs. The other extras are built on torch, and a resolver takes that with all
# of CUDA; torchvision must fit the torch that is there.
EXTRAS = ('test',)
HEADER = '# Written by standalone/lock.py; make lock renews it.\n'


def main() -> None:
    """Resolve the requirements of all projects together and write the answer."""
    requirements = sorted({*TORCH_NEEDS, *_required()})
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / 'requirements.in'
        source.write_text('\n'.join(requirements) + '\n')
        tools = Path(folder) / 'venv'
        venv.create(tools, with_pip=True)
        subprocess.run([tools / 'bin/pip', 'install', '--quiet', UV], check=True)
        pins = subprocess.run(
            [
                *(tools / 'bin/uv', 'pip', 'compile', '--quiet', '--universal'),
                *(
                    '--fork-strategy',
                    'fewest',
                    '--python-version',
                    '3.10',
                    '--no-header',
                    '--no-annotate',
                    source,
                ),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    (HERE / 'constraints.txt').write_text(HEADER + pins + TORCH + '\n')
    print(f'{len(pins.splitlines()) + 1} pins written to {HERE / "constraints.txt"}')


def _required() -> set[str]:
    found = set()
    for folder in PROJECTS:
        settings = tomllib.loads((folder / 'pyproject.toml').read_text())
        project = settings['project']
        optional = project.get('optional-dependencies', {})
        extras = [optional[name] for name in EXTRAS if name in optional]
        for group in (settings['build-system']['requires'], project['dependencies'], *extras):
            found.update(line for line in group if not line.startswith(OWN))
    return found


if __name__ == '__main__':
    sys.exit(main())
