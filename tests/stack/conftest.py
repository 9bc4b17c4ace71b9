"""Settings on free ports and a throw-away folder; whatever was started there is ended."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import stack
from settings import Settings
from tests.stack.stack_helpers import NewSettings, free_ports


@pytest.fixture
def new_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewSettings]:
    """A factory of settings, each with an own data folder and own ports."""
    kept = "STOCKWRIGHT_CACHE_DIR"
    for name in list(os.environ):
        if name.startswith(("STOCKWRIGHT_", "TEMPORAL_")) and name != kept:
            monkeypatch.delenv(name)
    folders: list[Path] = []

    def make(**values: object) -> Settings:
        folder = tmp_path / f"data-{len(folders)}"
        database, temporal, ui, api = free_ports(4)
        settings = Settings.model_validate(
            {
                "data_dir": folder,
                "postgres_port": database,
                "temporal_port": temporal,
                "temporal_ui_port": ui,
                "api_port": api,
            }
            | values
        )
        folders.append(settings.data_dir)
        return settings

    yield make
    for folder in folders:
        stack.destroy(folder)
