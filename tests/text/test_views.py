"""A block's definitions as they will be used."""

import pytest

from code2lora_lsp.text.blocks import Block, blocks_of
from code2lora_lsp.text.views import counted_texts, views_of


def views(text, path="pkg/files.py", inside=""):
    return views_of(Block(f"# {path}\n{inside}", text))


def test_a_function_is_imported_and_called_by_its_keywords():
    assert views("def load(path, *, strict=True): ...\n") == [
        "from pkg.files import load\nload(path=path, strict=strict)\n"
    ]


def test_a_class_is_imported_inherited_from_and_made():
    text = "class Store(Base):\n    def __init__(self, size, *, name=''): ...\n"
    assert views(text) == [
        "from pkg.files import Store\nclass _(Store):\nStore(size=size, name=name)\n"
    ]


def test_a_class_without_init_is_made_of_its_annotated_fields():
    assert views("@dataclass\nclass Point:\n    x: int\n    y: int = 0\n    z = 1\n") == [
        "from pkg.files import Point\nclass _(Point):\nPoint(x=x, y=y)\n",
        "self.x",
        "self.y",
        "self.z",
    ]


def test_methods_are_called_on_self_and_on_anything():
    assert views("    def get(self, key, default=None): ...\n", inside="class Store:\n") == [
        "self.get(key=key, default=default)\n.get(key"
    ]


def test_properties_are_read():
    for decorator in ("property", "cached_property", "functools.cached_property"):
        text = f"    @{decorator}\n    def size(self): ...\n"
        assert views(text, inside="class Store:\n") == ["self.size"]


def test_special_methods_have_no_view():
    assert views("    def __len__(self): ...\n", inside="class Store:\n") == []


def test_assigned_names_are_imported():
    assert views("LIMIT: int = 3\nA = B = 1\nx[0] = y.z = 2\n") == [
        "from pkg.files import LIMIT\n",
        "from pkg.files import A\nfrom pkg.files import B\n",
    ]


@pytest.mark.parametrize(
    ("path", "module"),
    [("src/pkg/mod.py", "pkg.mod"), ("pkg/__init__.py", "pkg"), ("setup.py", "setup")],
)
def test_a_module_is_named_as_it_is_imported(path, module):
    assert views("A = 1\n", path=path) == [f"from {module} import A\n"]


def test_what_cannot_be_imported_by_name_is_not_imported():
    assert views("def run(): ...\n", path="tools/make-docs.py") == ["run()\n"]
    assert views("A = 1\n", path="__init__.py") == []


@pytest.mark.parametrize("text", ["def broken(:\n", "import os\nprint(os)\n", "\x00"])
def test_what_defines_nothing_or_does_not_parse_has_no_view(text):
    assert views(text) == []


def test_methods_of_a_class_that_was_cut_have_the_views_of_methods():
    source = "class Long:\n" + "".join(
        f"    def method_{index}(self, value):\n        return {'x' * 200!r}\n"
        for index in range(12)
    )
    found = [view for block in blocks_of("pkg/long.py", source) for view in views_of(block)]
    assert "self.method_7(value=value)\n.method_7(value" in found
    assert sum("import Long" in view for view in found) <= 1


def test_a_block_is_counted_with_its_views():
    (block,) = blocks_of("pkg/files.py", "def load(path): ...\n")
    assert counted_texts(block) == [block.text, *views_of(block)]
