"""Copy a run's report into docs/ and take the picture of its head for the README.

    python docs/site/report.py runs/demo

The picture needs Chromium on PATH; without it the old one stays.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parents[1]
# Size of the picture [pixels]: the verdict and the table of requirements.
SIZE = (1200, 850)
COLOURS = 64


def main() -> None:
    """Write docs/report.html and docs/report.png."""
    report = Path(sys.argv[1]) / "report" / "report.html"
    if not report.is_file():
        sys.exit(f"{report} does not exist; run `make demo` first")
    (DOCS / "report.html").write_text(report.read_text())
    browser = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
    if browser is None:
        print("no Chromium on PATH: docs/report.png is still that of the former report")
        return
    with tempfile.TemporaryDirectory() as scratch:
        picture = Path(scratch) / "report.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--window-size={SIZE[0]},{SIZE[1]}", f"--screenshot={picture}", f"--user-data-dir={scratch}"]
        page = (DOCS / "report.html").resolve().as_uri()
        subprocess.run([browser, *options, page], check=True, capture_output=True, timeout=120)
        Image.open(picture).convert("RGB").quantize(COLOURS).save(DOCS / "report.png", optimize=True)


if __name__ == "__main__":
    main()
