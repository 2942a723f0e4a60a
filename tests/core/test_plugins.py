"""Discovery: four fences, an allow-list, and a line for each failure."""

from __future__ import annotations

from pathlib import Path

import pytest

import zoo
from zoo import registry
from zoo.errors import PluginError, UnknownModel
from zoo.plugins import plugins

GOOD = """
    @hookimpl
    def zoo_register_models():
        return [model("good")]
"""


FIRST_PARTY = (Path(zoo.__file__).parent / "first_party.txt").read_text().split()  # may be installed beside


def names() -> list[str]:
    return [entry.spec.name for entry in registry.entries() if entry.spec.name not in FIRST_PARTY]


@pytest.mark.parametrize(
    ("code", "stage", "message"),
    [
        ("raise RuntimeError('no GPU')", "import", "RuntimeError: no GPU"),
        ("import sys; sys.exit(3)", "import", "SystemExit: 3"),
        ("import not_there", "import", "No module named 'not_there'"),
        ("@hookimpl\ndef zoo_register_modles():\n    return []", "register", "zoo_register_modles is not a hook"),
        ("@hookimpl\ndef zoo_register_models(surprise):\n    return []", "register", "surprise"),
        ("@hookimpl\ndef zoo_register_models():\n    return 1 / 0", "zoo_register_models", "ZeroDivisionError"),
        ("@hookimpl\ndef zoo_register_models():\n    return None", "zoo_register_models", "NoneType"),
        ("@hookimpl\ndef zoo_register_models():\n    return ['toy']", "zoo_register_models", "expected a ModelSpec"),
        (
            "@hookimpl\ndef zoo_register_models():\n    return [model('a'), model('a')]",
            "zoo_register_models",
            "a name twice",
        ),
    ],
)
def test_a_broken_plugin_costs_one_line(make_plugin, capsys, caplog, code, stage, message):
    make_plugin("broken", "\n".join("    " + line for line in code.splitlines()))
    make_plugin("good", GOOD)
    assert names() == ["good"]
    lines = [record.getMessage() for record in caplog.records if "broken" in record.getMessage()]
    assert len(lines) == 1
    assert capsys.readouterr() == ("", "")  # the library prints nothing
    assert message in lines[0]
    assert "zoo plugins --why broken" in lines[0]
    (failure,) = [one for one in plugins().failures if one.name == "broken"]
    assert failure.stage == stage
    assert message.split(":")[-1].strip() in failure.traceback()


def test_the_command_line_prints_one_line_of_a_broken_plugin(make_plugin, zoo_command):
    make_plugin("broken", "    raise RuntimeError('no GPU')")
    code, _, errors = zoo_command("list")
    assert code == 0
    assert [line for line in errors.splitlines() if "broken" in line] == [
        "zoo: plugin 'broken' (zoo-broken) failed at import: RuntimeError: no GPU; see `zoo plugins --why broken`"
    ]


def test_strict_raises(make_plugin, monkeypatch):
    make_plugin("broken", "    raise RuntimeError('no GPU')")
    monkeypatch.setenv("ZOO_STRICT", "1")
    with pytest.raises(PluginError, match="no GPU"):
        plugins()


def test_allow_list_decides_before_import(make_plugin, monkeypatch, caplog):
    make_plugin("broken", "    raise RuntimeError('no GPU')")
    make_plugin("good", GOOD)
    monkeypatch.setenv("ZOO_PLUGINS", "good")
    assert names() == ["good"]
    assert caplog.records == []


def test_two_plugins_that_claim_a_model_are_both_named(make_plugin):
    make_plugin("good", GOOD)
    make_plugin("other", GOOD)
    with pytest.raises(UnknownModel, match=r"claimed by zoo-good and zoo-other.*zoo-good:good or zoo-other:good"):
        registry.find("good")
    entry, variant = registry.find("zoo-other:good@large")
    assert (entry.plugin.distribution, variant.tag) == ("zoo-other", "large")


def test_two_plugins_of_one_name(make_plugin, caplog):
    make_plugin("good", GOOD)
    make_plugin("good", GOOD, distribution="zoo-zgood")
    assert names() == ["good"]
    assert "zoo-zgood and zoo-good both call their plugin 'good'" in caplog.text


def test_default_variant_is_the_first_and_a_wrong_one_names_the_near(make_plugin):
    make_plugin("good", GOOD)
    assert registry.find("good")[1].tag == "small"
    with pytest.raises(UnknownModel, match=r"no variant 'larg'; try good@large"):
        registry.find("good@larg")


def test_unknown_model_gives_near_misses_the_install_line_and_the_failure(make_plugin):
    make_plugin("polo", "    raise RuntimeError('no GPU')")
    with pytest.raises(UnknownModel, match=r"did you mean polo\?.*zoo install zoo-polo"):
        registry.find("pollo")
    with pytest.raises(UnknownModel, match=r"plugin 'polo'.*failed at import.*no GPU"):
        registry.find("polo")
    with pytest.raises(UnknownModel, match="zoo list"):
        registry.find("xyzzy")


def test_first_result_hook_skips_the_plugin_that_fails(make_plugin, capsys):
    make_plugin("broken", "    @hookimpl\n    def zoo_open_source(uri, inputs):\n        raise OSError('cloud')")
    make_plugin("good", "    @hookimpl\n    def zoo_open_source(uri):\n        return uri.upper()")
    assert plugins().first("zoo_open_source", uri="s3://x", inputs=()) == "S3://X"
    assert "broken" not in capsys.readouterr().out


def test_unregistered_hook_call_is_empty():
    assert plugins().first("zoo_open_source", uri="s3://x", inputs=()) is None
