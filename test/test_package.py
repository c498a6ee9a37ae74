# SPDX-License-Identifier: Apache-2.0
"""What holds for the project as a whole: versions, declarations, licences, dangerous calls."""

from __future__ import annotations

import ast
import os
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import flowcam_ros

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / 'flowcam_ros'
OWN_FOLDERS = ('benchmarks', 'config', 'flowcam_ros', 'launch', 'scripts', 'standalone', 'test')
SOURCES = ('', '.cmake', '.py', '.sh', '.toml')
GENERATED = re.compile(r'(^|/)(\.|build/|__pycache__/|[^/]*\.egg-info/)')
# Where the name of an import and that of its distribution differ.
DISTRIBUTIONS = {'cv2': 'opencv-python-headless', 'rerun': 'rerun-sdk', 'yaml': 'PyYAML'}
# What only some users need, and the set-up does not install.
EXTRAS = ('prior', 'raft', 'ray', 'rerun', 'views')


def sources() -> list[Path]:
    """Return the source files of the project, without what was generated."""
    files = [file for folder in OWN_FOLDERS for file in (ROOT / folder).rglob('*')]
    files += [ROOT / name for name in ('CMakeLists.txt', 'Makefile', 'pyproject.toml', 'setup.py')]
    return [
        file
        for file in files
        if file.is_file()
        and (file.suffix in SOURCES or file.name == 'CMakeLists.txt')
        and file.name != 'COLCON_IGNORE'
        and not GENERATED.search(str(file.relative_to(ROOT)))
    ]


def package_xml() -> ET.Element:
    return ET.parse(ROOT / 'package.xml').getroot()


def requirements(section: str = 'dependencies') -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    found = project['dependencies'] if section == 'dependencies' else []
    found = found or project['optional-dependencies'][section]
    return {canonicalize_name(r.name): r for r in map(Requirement, found)}


def imported_modules(folder: Path) -> dict[str, Path]:
    """Return the top-level modules that the files of a folder import, with one such file each."""
    found = {}
    for file in folder.rglob('*.py'):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found.update((alias.name.split('.')[0], file) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module.split('.')[0]] = file
    return {name: f for name, f in found.items() if name not in sys.stdlib_module_names}


def ros_packages() -> set[str]:
    depends = {element.text for element in package_xml() if element.tag.endswith('depend')}
    return {name for name in depends if name and not name.startswith('python3-')}


def test_all_versions_are_the_same() -> None:
    found = {
        'flowcam_ros': flowcam_ros.__version__,
        'package.xml': package_xml().findtext('version'),
    }
    for project in ('wheels', 'stand_ins'):
        settings = tomllib.loads((ROOT / 'standalone' / project / 'pyproject.toml').read_text())
        found[project] = settings['project']['version']
    interfaces = ET.parse(ROOT / 'standalone' / 'wheels' / 'flowcam_ros' / 'package.xml').getroot()
    found['interfaces'] = interfaces.findtext('version')
    assert len(set(found.values())) == 1, found


def test_cmake_generates_every_interface() -> None:
    cmake = (ROOT / 'CMakeLists.txt').read_text()
    listed = set(re.findall(r'\b(?:action|msg|srv)/\w+\.(?:action|msg|srv)\b', cmake))
    files = [file for kind in ('action', 'msg', 'srv') for file in ROOT.glob(f'{kind}/*.{kind}')]
    assert listed == {file.relative_to(ROOT).as_posix() for file in files}


def test_colcon_takes_the_package() -> None:
    root = package_xml()
    maintainer = root.find('maintainer')
    # colcon passes over a package whose maintainer has no valid address, without a word.
    assert maintainer is not None
    assert re.fullmatch(r'[\w.+-]+@[\w-]+(\.[\w-]+)+', maintainer.get('email', ''))
    assert root.findtext('export/build_type') == 'ament_cmake'


def test_what_stands_in_for_ros_is_hidden_from_it() -> None:
    assert (ROOT / 'standalone' / 'COLCON_IGNORE').exists()
    settings = tomllib.loads((ROOT / 'pyproject.toml').read_text())['tool']['setuptools']
    assert settings['packages']['find']['include'] == ['flowcam_ros*']
    naming = [file for file in CODE.rglob('*.py') if 'stand_ins' in file.read_text()]
    assert naming == []


def test_only_the_ros_layer_imports_ros() -> None:
    for folder in CODE.iterdir():
        if folder.is_dir() and folder.name != 'ros':
            assert not ros_packages() & imported_modules(folder).keys(), folder


def test_package_xml_names_every_ros_package_that_is_imported() -> None:
    python = {'flowcam_ros', *requirements()}
    imported = {
        name: file
        for name, file in imported_modules(CODE / 'ros').items()
        if canonicalize_name(DISTRIBUTIONS.get(name, name)) not in python and name != 'flowcam_ros'
    }
    assert {n: f for n, f in imported.items() if n not in ros_packages()} == {}


def test_pyproject_names_every_python_package_that_is_imported() -> None:
    imported = {
        canonicalize_name(DISTRIBUTIONS.get(name, name)): file
        for name, file in imported_modules(CODE).items()
        if name != 'flowcam_ros' and name not in ros_packages()
    }
    named = requirements()
    for extra in EXTRAS:
        named.update(requirements(extra))
    # CoTracker is on no package index: docs/backends.md says where it comes from
    assert {n: f for n, f in imported.items() if n not in {*named, 'cotracker'}} == {}
    # Ray is imported by its name, so that it is not looked for where it is not wanted
    assert {n: r for n, r in named.items() if n not in {*imported, 'ray'}} == {}


def test_every_requirement_is_bounded_and_pinned() -> None:
    lines = (ROOT / 'standalone' / 'constraints.txt').read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith('#')]
    for extra in EXTRAS:
        for name, requirement in requirements(extra).items():
            assert requirement.specifier, f'{name} has no bound'
    for name, requirement in {**requirements(), **requirements('test')}.items():
        assert requirement.specifier, f'{name} has no bound'
        matching = [pin for pin in pins if canonicalize_name(pin.name) == name]
        assert matching, f'{name} is not pinned; run make lock'
        for pin in matching:
            (version,) = (specifier.version for specifier in pin.specifier)
            assert requirement.specifier.contains(version), f'{name}: {pin}; run make lock'


def test_every_source_names_its_licence() -> None:
    licence = 'SPDX-License-Identifier: Apache-2.0'
    assert [file for file in sources() if licence not in file.read_text()[:200]] == []


def test_the_licence_is_there_in_full() -> None:
    assert 'END OF TERMS AND CONDITIONS' in (ROOT / 'LICENSE').read_text()


def test_programs_can_be_run() -> None:
    programs = [*(ROOT / 'scripts').iterdir(), ROOT / '.ci' / 'run']
    assert all(os.access(program, os.X_OK) for program in programs)


@pytest.mark.parametrize('folder', ['flowcam_ros', 'benchmarks', 'scripts', 'launch'])
def test_no_file_can_make_the_program_run_its_code(folder) -> None:
    found = [
        f'{file.relative_to(ROOT)}:{line}: {what}'
        for file in (ROOT / folder).rglob('*.py')
        for line, what in dangers(ast.parse(file.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    'text',
    [
        'import pickle',
        'from pickle import loads',
        'import dill as d',
        'yaml.load(text, yaml.SafeLoader)',
        'yaml.unsafe_load(text)',
        'np.load(path, allow_pickle=True)',
        'numpy.load(path, allow_pickle=flag)',
        'torch.load(path)',
        'torch.load(path, weights_only=False)',
        'eval(text)',
        'os.system(text)',
        'subprocess.run(text, shell=True)',
    ],
)
def test_dangers_are_seen(text) -> None:
    assert list(dangers(ast.parse(text)))


@pytest.mark.parametrize(
    'text',
    [
        'yaml.safe_load(text)',
        'np.load(path, allow_pickle=False)',
        'np.load(path)',
        'torch.load(path, weights_only=True)',
        'model.eval()',
        'subprocess.run([program])',
    ],
)
def test_safe_calls_are_let_through(text) -> None:
    assert not list(dangers(ast.parse(text)))


def dangers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and text of whatever may run code that comes in a file."""
    modules = {'pickle', 'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve'}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names += [node.module or ''] if isinstance(node, ast.ImportFrom) else []
            if modules & {name.split('.')[0] for name in names}:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and _is_dangerous(node):
            yield node.lineno, ast.unparse(node)


def _is_dangerous(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    given = {k.arg: getattr(k.value, 'value', None) for k in call.keywords}
    if name in ('eval', 'exec', 'os.system', 'os.popen'):
        return True
    if re.fullmatch(r'yaml\.(full_|unsafe_)?load(_all)?', name):
        return True
    if name in ('np.load', 'numpy.load'):
        return given.get('allow_pickle', False) is not False
    if name == 'torch.load':
        return given.get('weights_only') is not True
    return given.get('shell', False) is not False
