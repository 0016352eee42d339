"""What a vendor tool's log says of its failure."""

import pytest

from codae_l1.hls.vendor._tools import what_went_wrong

CAUGHT = {
    "2025.2": (
        "INFO: [HLS 200-1510] Running: config_array_partition -maximum_size 4096\n"
        "ERROR: [HLS 200-101] config_array_partition: Unknown option '-maximum_size'.\n"
        "ERROR: [HLS 200-101] config_array_partition: Unknown option '4096'.\n"
        "INFO: [HLS 200-1510] Running: csynth_design\n"
    ),
    "2020.2": (
        "ERROR: [HLS 200-642] The 'config_array_partition -maximum_size' command is not supported.\n"
        "***** C SIMULATION *****\n"
        "INFO: [SIM 211-4] CSIM will launch GCC as the compiler.\n"
        "   Compiling ../../../../codae_test.cpp in debug mode\n"
    ),
}


@pytest.mark.parametrize("version", CAUGHT)
def test_an_error_that_the_script_caught_is_passed_over(tmp_path, version):
    log = tmp_path / "csim.log"
    line = "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis' and/or device 'xcvu13p'."
    log.write_text(f"{CAUGHT[version]}{line}\nbye\n")
    said, remedy = what_went_wrong(log)
    assert said == line
    assert remedy == f"give the tool its licence (XILINXD_LICENSE_FILE or LM_LICENSE_FILE), read the log {log}, line 5"
    log.write_text(CAUGHT[version])
    said, remedy = what_went_wrong(log)
    rows = [row.strip() for row in CAUGHT[version].splitlines() if "ERROR" not in row]
    assert said == " | ".join(rows)
    assert remedy == f"read the log {log}"


def test_an_error_of_another_option_is_not_passed_over(tmp_path):
    log = tmp_path / "csim.log"
    line = "ERROR: [HLS 200-101] config_array_partition: Unknown option '-throughput'."
    log.write_text(f"{line}\nERROR: [SIM 211-100] 'csim_design' failed: compilation error(s).\n")
    assert what_went_wrong(log) == (line, f"read the log {log}, line 1")
