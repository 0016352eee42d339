"""What every input format must do: its tests inherit these and write a small file."""

import shutil

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import EventImages
from codae_l1.data.formats import FORMATS, SUFFIXES, event_slices, format_of, slices


def columns_of(parts):
    """Name -> the rows of all slices."""
    tables = [vars(part) if isinstance(part, EventImages) else part for part in parts]
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0] if name != "provenance"}


class FormatTestBase:
    """name: of the format. suffix: of the files that `write` writes."""

    name = ""
    suffix = ".h5"
    label = "h125"

    def write(self, path, n):
        """Write a good file of n events and return its path."""
        raise NotImplementedError

    def write_other(self, path):
        """Write a file that looks like one of this format but has not its content, and return its path."""
        raise NotImplementedError

    @property
    def format(self):
        [known] = [known for known in FORMATS if known.name == self.name]
        return known

    @pytest.fixture
    def file(self, tmp_path):
        return self.write(tmp_path / f"events{self.suffix}", 5)

    def read(self, path, size=1024):
        return list(slices(path, size, None if self.format.labelled else self.label))

    def test_it_is_recognised(self, file):
        assert format_of(file) is self.format
        assert self.suffix in self.format.suffixes

    @pytest.mark.parametrize("size", [1, 2, 5, 100])
    def test_slices_join_to_the_whole(self, file, size):
        whole, parts = columns_of(self.read(file)), self.read(file, size)
        joined = columns_of(parts)
        assert all(isinstance(part, EventImages) == self.format.images for part in parts)
        assert joined.keys() == whole.keys()
        for name, column in whole.items():
            assert len(column) == 5
            assert column.dtype == joined[name].dtype
            assert np.array_equal(column, joined[name])
        assert max(len(next(iter(columns_of([part]).values()))) for part in parts) <= size

    def test_other_events_than_images_are_refused_where_images_are_read(self, file):
        if self.format.images:
            assert sum(len(part) for part in event_slices(file, label=self.label)) == 5
        else:
            with pytest.raises(InputError, match=f"of the format {self.name}; expected event images"):
                list(event_slices(file, label=self.label))

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(InputError, match=f"none{self.suffix} does not exist"):
            self.read(tmp_path / f"none{self.suffix}")

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
    def test_a_truncated_file_is_named(self, file, share):
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError, match=f"{file.name} is truncated or"):
            self.read(file)

    def test_a_wrong_suffix_is_named(self, file):
        other = file.with_suffix(".csv")
        shutil.copy(file, other)
        with pytest.raises(InputError, match=rf"events.csv with suffix '.csv'; expected {SUFFIXES[0]}"):
            self.read(other)

    def test_a_file_of_another_kind_is_named(self, tmp_path):
        path = tmp_path / f"text{self.suffix}"
        path.write_text("neither events nor an archive\n" * 50)
        with pytest.raises(InputError, match=f"text{self.suffix} is truncated or"):
            self.read(path)

    def test_wrong_content_is_named(self, tmp_path):
        path = self.write_other(tmp_path / f"other{self.suffix}")
        with pytest.raises(InputError, match=f"other{self.suffix}.*; expected .*; "):
            self.read(path)

    def test_a_file_without_events_is_refused(self, tmp_path):
        path = self.write(tmp_path / f"empty{self.suffix}", 0)
        with pytest.raises(InputError, match=f"no events in .*empty{self.suffix}; expected at least one event"):
            self.read(path)

    def test_labels_are_asked_for_and_checked_where_files_do_not_say(self, file):
        if self.format.labelled:
            assert columns_of(self.read(file)).keys() & {"signal", "is_signal"}
            return
        with pytest.raises(InputError, match=rf"{file.name} does not say what its events are; .*; give --label NAME"):
            list(slices(file))
        if self.format.images:
            with pytest.raises(InputError, match="unknown signal name 'h126'; expected one of qcd"):
                list(slices(file, label="h126"))
            assert set(columns_of(self.read(file))["signal"]) == {self.label}
        else:
            assert set(columns_of(self.read(file))["label"]) == {self.label.encode()}
