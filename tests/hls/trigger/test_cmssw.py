"""The library that CMSSW loads by name: its words through a loader written here, what it exports, what it refuses."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import hls4ml
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.layers import Dense, Flatten, Interval
from codae_l1.hls.network.records import Network
from codae_l1.hls.trigger._cmssw import cmssw_interface, cmssw_sources
from codae_l1.hls.trigger.emulator import emulator_sources
from codae_l1.hls.trigger.export_config import check_namespace
from codae_l1.hls.trigger.thresholds import Decision, WorkingPoint

HERE = Path(__file__).parent
AP_TYPES = Path(hls4ml.__file__).parent / "templates" / "vivado" / "ap_types"
COUNT = WordType(False, 5, 0, "TRN", "SAT")
SIGNED = WordType(True, 2, 2, "RND_CONV", "SAT")
OUTPUT = WordType(True, 9, 2, "RND", "SAT")
WEIGHTS = {"f_m_v1": (1, 2, 0, 4), "f_m_v2": (1, 2, 3, -5), "f_m_v3": (2, 0, 1, 3)}
INPUT_WORDS = {"f_m_v1": COUNT, "f_m_v2": COUNT, "f_m_v3": SIGNED}
EVENTS = np.concatenate([[[3, 0, 1, 2]], np.random.default_rng(5).integers(-40, 50, (300, 4))])


def words_of(name, events):
    """Sum of the inputs, saturated, times their weights, plus a half, in steps of a quarter."""
    word = INPUT_WORDS[name]
    return (np.clip(events, *word.bounds) @ np.array(WEIGHTS[name]) << (2 - word.fraction)) + 2


def write(folder, name, namespace=None):
    """The folders emulator/, cmssw/ and vectors/ of an export, of a network of four inputs."""
    word, weights = INPUT_WORDS[name], np.array(WEIGHTS[name], float)[:, None]
    low, high = (bound * word.lsb for bound in word.bounds)
    ends = np.stack([weights * low, weights * high])
    flat = Flatten("flatten", (4,), Interval(low, high, word.lsb))
    interval = Interval(ends.min(0).sum() + 0.5, ends.max(0).sum() + 0.5, min(word.lsb, 0.5))
    dense = Dense("output", (1,), interval, kernel=weights, bias=np.array([0.5]))
    decision = Decision((WorkingPoint("a", 3),))
    network = Network("counts", word, (2, 2, 1), (flat, dense))
    sources, design = emulator_sources(network, OUTPUT, None, namespace or name, decision)
    events = np.clip(EVENTS, *word.bounds)
    for part, texts in {
        "emulator": sources,
        "cmssw": cmssw_sources(design, decision),
        "vectors": {
            "inputs.txt": "\n".join(" ".join(map(str, event)) for event in events.tolist()) + "\n",
            "words.txt": "\n".join(map(str, words_of(name, events).tolist())) + "\n",
        },
    }.items():
        (folder / part).mkdir(parents=True)
        for file, text in texts.items():
            (folder / part / file).write_text(text)
    return design


def make(folder, *arguments, wrong=False):
    """What make prints in the folder cmssw; the environment has no flags for it."""
    environment = {k: v for k, v in os.environ.items() if k not in ("CXXFLAGS", "INCLUDES", "MAKEFLAGS", "MAKELEVEL")}
    command = ["make", *arguments]
    done = subprocess.run(command, cwd=folder / "cmssw", capture_output=True, text=True, env=environment)
    assert (done.returncode != 0) == wrong, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of exports f_m_v1, f_m_v2 (plain integers), f_m_v3 (ap_fixed, too), built by their Makefiles."""
    folder = tmp_path_factory.mktemp("cmssw")
    for name in WEIGHTS:
        write(folder / name, name)
        # The second one without the code for AVX2.
        flags = (
            [f"INCLUDES=-isystem {AP_TYPES}"]
            if name == "f_m_v3"
            else ["CXXFLAGS=-O2 -Wall -Wextra -Werror" + " -DF_M_V2_PORTABLE" * (name == "f_m_v2")]
        )
        assert make(folder / name, *flags, "check").count("0 of 301 events differ") == len(flags) + (name == "f_m_v3")
    return folder


def built_loader(folder, *flags):
    """The test's own loader: call it with arguments -> its output."""
    program = folder / "loader"
    command = ["g++", *flags, "-O1", HERE / "model_loader.cpp", "-ldl", "-pthread", "-o", program]
    subprocess.run(command, check=True)

    def call(*arguments, given=None, **environment):
        command = [program, *map(str, arguments)]
        environment = {"PATH": "/usr/bin:/bin"} | environment
        return subprocess.run(command, input=given, capture_output=True, text=True, env=environment).stdout

    return call


@pytest.fixture(scope="module")
def loader(tmp_path_factory):
    types = [f"-DINPUT={SIGNED}", f"-DRESULT={OUTPUT}", f"-DSCALE={SIGNED.lsb}", "-DAP_TYPES", "-isystem", AP_TYPES]
    return built_loader(tmp_path_factory.mktemp("loader"), "-std=c++17", *types)


def model(made, name):
    return made / name / "cmssw" / name


def test_versions_in_one_process_give_their_own_words(made, loader):
    given = "\n".join(" ".join(map(str, event)) for event in EVENTS.tolist())
    said = loader(*(model(made, name) for name in WEIGHTS), "words", given=given)
    seen = np.array([line.split() for line in said.splitlines()], int)
    expected = np.stack([words_of(name, EVENTS) for name in WEIGHTS], axis=1)
    assert len(np.unique(expected)) > 100
    np.testing.assert_array_equal(seen, expected)


def test_versions_of_one_name_in_two_folders_give_their_own_words(tmp_path, loader):
    for name in ("f_m_v1", "f_m_v2"):
        write(tmp_path / name, name, "codae")
        make(tmp_path / name)
    first, second = paths = [tmp_path / name / "cmssw" / "codae" for name in ("f_m_v1", "f_m_v2")]
    said = loader(*paths, "words", given="3 0 1 2")
    assert said.split() == [str(words_of(name, EVENTS[0])) for name in ("f_m_v1", "f_m_v2")] == ["46", "-14"]
    # In the global scope, where a plug-in that is linked with a library has it: before all others'.
    assert loader(*paths, "words", given="3 0 1 2", LD_PRELOAD=f"{first}.so").split() == ["46", "-14"]
    # It is the hidden visibility that keeps the first one's functions out of the second.
    make(tmp_path / "f_m_v1", "OWN_FLAGS=-fPIC -iquote ../emulator", "--always-make")
    make(tmp_path / "f_m_v2", "OWN_FLAGS=-fPIC -iquote ../emulator", "--always-make")
    assert loader(second, "words", given="3 0 1 2", LD_PRELOAD=f"{first}.so").split() == ["46"]


def test_a_name_is_looked_for_on_the_library_path_as_at_the_start(made, loader):
    folder = str(made / "f_m_v1" / "cmssw")
    assert loader("f_m_v1", "words", given="3 0 1 2", LD_LIBRARY_PATH=folder).split() == ["46"]
    assert "not loaded: f_m_v1.so: cannot open" in loader("f_m_v1", "words", given="3 0 1 2")
    assert "f_m_v1.so.so: cannot open" in loader("f_m_v1.so", "words", given="3 0 1 2", LD_LIBRARY_PATH=folder)


@pytest.mark.parametrize("name", WEIGHTS)
def test_two_functions_are_exported_and_nothing_is_missing(made, name):
    library = f"{model(made, name)}.so"
    listed = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[1:] for line in listed.splitlines()]
    assert sorted(symbol for kind, symbol in symbols if kind not in "WV") == ["create_model", "destroy_model"]
    # What the standard library's templates leave, weak, of its own namespace.
    assert [s for kind, s in symbols if kind in "WV" and not re.match(r"_ZN?K?(St|NSt|NKSt|NSs)", s)] == []
    needed = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"NEEDED.*\[(\w+)[.\-+\w]*\.so", needed)) <= {"libstdc", "libgcc_s", "libc", "libm"}


@pytest.mark.parametrize(
    "case", ["array", "const array", "vector.data()", "any with it", "twice", "copied", "loaded twice"]
)
def test_pointers_to_integers_are_taken(made, loader, case):
    assert loader(model(made, "f_m_v1"), case) == "46\n"


def test_a_refused_input_leaves_the_model_usable(made, loader):
    assert loader(model(made, "f_m_v1"), "after a refusal") == "46\n"


REFUSED = {
    "empty": r"prepare_input was given nothing; expected a pointer, not null, of one of the types std::int32_t \*",
    "null": r"prepare_input was given int\*; expected a pointer, not null",
    "vector": r"prepare_input was given std::vector<int, std::allocator<int> >; expected",
    "std::array": r"prepare_input was given std::array<int, 4ul>; expected",
    "pointer to array": r"prepare_input was given int \(\*\) \[4\]; expected",
    "int": r"prepare_input was given int; expected",
    "pointer to std::array": r"prepare_input was given std::array<int, 4ul>\*; expected",
    "long": r"prepare_input was given long\*; .* \(built without ap_fixed.h\)",
    "unsigned": r"prepare_input was given unsigned int\*; expected",
    "result int": r"read_result was given int\*; .*std::int64_t \* \(built without ap_fixed.h\)",
    "result long long": r"read_result was given long long\*; expected",
    "result const": r"read_result was given long const\*; expected",
    "result null": r"read_result was given long\*; expected a pointer, not null",
    "ap": r"prepare_input was given ap_fixed<5, 3, .*>\*; .*built without ap_fixed.h",
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_types_are_refused_with_what_was_given(made, loader, case):
    assert re.match(f"invalid_argument: f_m_v1: {REFUSED[case]}", loader(model(made, "f_m_v1"), case))


def test_a_host_of_another_standard_and_library_calls_and_catches(made, tmp_path):
    call = built_loader(tmp_path, "-std=c++20", "-static-libstdc++")
    needed = subprocess.run(["readelf", "-d", tmp_path / "loader"], capture_output=True, text=True, check=True).stdout
    assert "libstdc++" not in needed
    for case in ("array", "loaded twice"):
        assert call(model(made, "f_m_v1"), case) == "46\n"
    assert call(model(made, "f_m_v2"), "words", given="3 0 1 2").split() == ["-14"]
    for case in ("vector", "result int"):
        assert re.match(f"invalid_argument: f_m_v1: {REFUSED[case]}", call(model(made, "f_m_v1"), case))
    assert call(model(made, "f_m_v1"), "no input").startswith("logic_error: f_m_v1: predict without an input")


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("no input", "predict without an input; call prepare_input"),
        ("input refused", "predict without an input; call prepare_input"),
        ("no predict", "read_result without the words of this input; call predict"),
    ],
)
def test_words_of_another_event_are_never_read(made, loader, case, says):
    assert loader(model(made, "f_m_v1"), case) == f"logic_error: f_m_v1: {says}\n"


def test_arrays_of_ap_fixed_are_taken_in_their_modes_alone(made, loader):
    assert loader(model(made, "f_m_v3"), "array") == f"{words_of('f_m_v3', EVENTS[0])}\n"
    for case, event in (("ap", [3, 0, 1, 2]), ("ap const", [-1, 4, 4, 1])):
        assert float(loader(model(made, "f_m_v3"), case)) == words_of("f_m_v3", np.array(event)) / 4
    for case in ("ap of another mode", "ap_uint"):
        said = loader(model(made, "f_m_v3"), case)
        assert re.match(r"invalid_argument: f_m_v3: prepare_input was given ap_u\w+<5.*; expected .*<5,3,AP_RND_", said)
    said = loader(model(made, "f_m_v3"), "ap result of another mode")
    assert re.match(r"invalid_argument: .*ap_fixed<12, 10, \(ap_q_mode\)5.*; expected .* ap_fixed<12,10,AP_RND,", said)


def test_the_interface_file_names_the_types(tmp_path):
    said = cmssw_interface(write(tmp_path, "f_m_v3"))
    assert said["inputs"] == {"elements": 4, "types": ["std::int32_t", "ap_fixed<5,3,AP_RND_CONV,AP_SAT>"]}
    assert said["results"] == {"elements": 1, "types": ["std::int64_t", "ap_fixed<12,10,AP_RND,AP_SAT>"]}
    assert (said["library"], said["model_name"]) == ("f_m_v3.so", "f_m_v3")


def test_an_object_for_each_thread(made, loader):
    assert loader(model(made, "f_m_v2"), "threads") == "0 0 wrong\n"


def test_the_host_finds_another_word_and_a_missing_library(made, tmp_path):
    folder = shutil.copytree(made / "f_m_v3", tmp_path / "f_m_v3")
    words = folder / "vectors" / "words.txt"
    words.write_text(words.read_text().replace("\n", "\n1", 1))
    said = make(folder, f"INCLUDES=-isystem {AP_TYPES}", "check", wrong=True)
    assert said.count("1 of 301 events differ") == 2
    for arguments, says in (
        (["./f_m_v4", "../vectors"], r"\./f_m_v4: \./f_m_v4\.so: cannot open"),
        (["", "../vectors"], r"^: \.so: cannot open"),
        (["./f_m_v3", "../none"], r"none/inputs.txt is missing, empty, or not of integers"),
        ([], "usage: "),
    ):
        command = ["./f_m_v3_host", *arguments]
        done = subprocess.run(command, cwd=folder / "cmssw", capture_output=True, text=True)
        assert done.returncode == 2
        assert re.search(says, done.stderr)


def test_other_flags_build_it_anew_and_cannot_lose_what_it_needs(made, tmp_path):
    folder = shutil.copytree(made / "f_m_v1", tmp_path / "f_m_v1")
    assert "-shared" not in make(folder, "CXXFLAGS=-O2 -Wall -Wextra -Werror")
    assert "-shared" in make(folder, "CXXFLAGS=-O1", "INCLUDES=-DA='\"b c\"'")
    assert "-shared" not in make(folder, "CXXFLAGS=-O1", "INCLUDES=-DA='\"b c\"'")
    test_two_functions_are_exported_and_nothing_is_missing(tmp_path, "f_m_v1")
    assert "remove -fno-rtti from CXXFLAGS" in make(folder, "CXXFLAGS=-O1 -fno-rtti", wrong=True)
    assert "add -std=c++17 to CXXFLAGS" in make(folder, "CXXFLAGS=-O1 -std=c++14", wrong=True)
    source = folder / "emulator" / "f_m_v1.cpp"
    source.write_text("#include <f_m_v1.h>\n")
    assert "undefined reference to `f_m_v1::predict(" in make(folder, "INCLUDES=-I../emulator", wrong=True)


INTERFACE = """#define HLS4ML_EMULATOR_H_
#include <any>
namespace hls4mlEmulator {
struct Model {
    virtual void prepare_input(std::any) = 0;
    virtual void predict() = 0;
    virtual void read_result(std::any) = 0;
    virtual ~Model() = default;
    static constexpr int theirs = 1;
};
}
"""


@pytest.mark.parametrize("path", ["emulator.h", "hls4ml/emulator.h"])
def test_the_header_of_the_interface_is_used_where_it_is(tmp_path, loader, path):
    """In the namespace `emulator`, whose own header has the same name."""
    write(tmp_path, "f_m_v1", "emulator")
    header = tmp_path / "include" / path
    header.parent.mkdir(parents=True)
    header.write_text(INTERFACE)
    source = tmp_path / "cmssw" / "emulator_model.cpp"
    source.write_text(source.read_text() + "static_assert(hls4mlEmulator::Model::theirs);\n")
    make(tmp_path, "INCLUDES=-I../include")
    assert loader(tmp_path / "cmssw" / "emulator", "array") == "46\n"
    assert "is not a member of" in make(tmp_path, wrong=True)
    header.write_text("#pragma once\n")
    said = make(tmp_path, "INCLUDES=-I../include", wrong=True)
    assert "emulator.h on the include path is not that of hls4mlEmulatorExtras: correct INCLUDES" in said


def test_a_makefile_of_versions_builds_and_installs_all(made, tmp_path):
    """The one in the docs, on copies of two exports."""
    for name in ("f_m_v1", "f_m_v2"):
        shutil.copytree(made / name, tmp_path / name)
        make(tmp_path / name, "clean")
    text = (HERE.parents[2] / "docs" / "integration.md").read_text()
    (tmp_path / "Makefile").write_text(text.split("```make\n")[1].split("```")[0])
    subprocess.run(["make", "install", f"PREFIX={tmp_path / 'to'}"], cwd=tmp_path, check=True, capture_output=True)
    assert sorted(path.name for path in (tmp_path / "to" / "lib64").iterdir()) == ["f_m_v1.so", "f_m_v2.so"]


@pytest.mark.parametrize("namespace", ["hls4mlEmulator", "selftest", "main", "ap_fixed"])
def test_names_that_the_export_needs_itself_are_refused(namespace):
    with pytest.raises(InputError, match=rf"namespace '{namespace}'; expected a C\+\+ name"):
        check_namespace(namespace)
