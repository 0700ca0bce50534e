"""The workflow's schema says what the registries and options of the command line say."""

from pathlib import Path
from typing import Any

import pytest

from deeplift_cli.commands.workflow_schema import overlap_setting, score_settings

yaml = pytest.importorskip("yaml", reason="pyyaml comes with snakemake")
SCHEMA = Path(__file__).parents[1] / "workflow" / "schemas" / "config.schema.yaml"


@pytest.fixture
def settings() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(SCHEMA.read_text())["$defs"]["settings"]["properties"]
    return found


def test_the_options_of_score_are_those_of_the_command(settings: dict[str, Any]) -> None:
    """Where this fails, write what `score_settings` returns into the schema."""
    assert settings["score"]["properties"] == score_settings()


def test_the_choices_of_overlap_are_those_of_the_registry(settings: dict[str, Any]) -> None:
    assert settings["overlap"]["enum"] == overlap_setting()


def test_options_that_the_workflow_gives_itself_are_left_out() -> None:
    """An option of `deeplift score` that is new is in the schema, unless it is named as the workflow's."""
    found = score_settings()
    assert found["dtype"] == {"enum": ["float32", "float16"]}
    assert "file:REFS.h5" in found["reference"]["examples"]
    assert not {"model", "out", "shard", "threads", "batch-size", "overlap", "help"} & found.keys()
