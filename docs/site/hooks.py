"""Pages that `mkdocs build` adds to those in docs/: the project's own texts, the tutorials and the API reference.

Texts keep the links that work in the repository; here they become links between pages of the site.
"""

import json
import os
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
# Texts outside docs/ -> their page of the site.
TEXTS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/sample/README.md": "sample.md",
}
PACKAGES = ("data", "models", "quantization", "hls", "scripts")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config):
    """Append the API reference to the navigation: one section per package, one page per public module."""
    sections = [{package: [{_title(m): _api_page(m)} for m in _modules(package)]} for package in PACKAGES]
    config.nav = [*config.nav, {"API": [{"codae_l1": "api/index.md"}, *sections]}]
    return config


def on_files(files, config):
    """Add the generated pages: (page, Markdown)."""
    pages = [(page, (ROOT / text).read_text()) for text, page in TEXTS.items()]
    pages += [(_api_page(m), f"# {_dotted(m)}\n\n::: {_dotted(m)}\n") for p in PACKAGES for m in _modules(p)]
    pages.append(("api/index.md", "# codae_l1\n\n::: codae_l1\n"))
    for notebook in sorted((ROOT / "docs" / "tutorials").glob("*.ipynb")):
        files.remove(files.get_file_from_path(f"tutorials/{notebook.name}"))
        pages.append((f"tutorials/{notebook.stem}.md", _notebook(notebook)))
    for page, text in pages:
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, files, **_):
    """Turn links between files of the repository into links between pages; what is not on the site loses its link."""
    sources = {page: text for text, page in TEXTS.items()}
    folder = posixpath.dirname(sources.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def link(match):
        image, text, target = match.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in target or target.startswith("mailto:"):
            return match.group(0)
        path = posixpath.normpath(posixpath.join(folder, path))
        path = TEXTS.get(path, path.removeprefix("docs/").replace(".ipynb", ".md"))
        if files.get_file_from_path(path) is None:
            return match.group(0) if not (ROOT / path).exists() else text
        path = posixpath.relpath(path, posixpath.dirname(page.file.src_uri) or ".")
        return f"{image}[{text}]({path}{'#' + anchor if anchor else ''})"

    return markdown if page.file.src_uri.startswith("api/") else _LINK.sub(link, markdown)


def _modules(package):
    """The public modules of a package, as paths within the repository: no part of them starts with an underscore."""
    paths = [p.relative_to(ROOT) for p in sorted((ROOT / package).rglob("*.py"))]
    public = [p for p in paths if not any(part.startswith("_") and part != "__init__.py" for part in p.parts)]
    # scripts/package is codae_l1 itself.
    public = [p for p in public if p.parts[:2] != ("scripts", "package")]
    return [p for p in public if p.name != "__init__.py" or _has_names(ROOT / p)]


def _has_names(path):
    """Whether a package's __init__.py defines or exports anything."""
    return any(line.startswith(("def ", "class ", "from ", "__all__")) for line in path.read_text().splitlines())


def _dotted(module):
    parts = module.with_suffix("").parts
    return ".".join(("codae_l1", *(p for p in parts if p != "__init__")))


def _title(module):
    """The module's name within its package."""
    return ".".join(_dotted(module).split(".")[2:]) or module.parts[0]


def _api_page(module):
    return f"api/{os.sep.join(_dotted(module).split('.')[1:])}.md".replace(os.sep, "/")


def _notebook(path):
    """A notebook as Markdown: texts as they are, code in fences, text outputs below."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        printed = "".join("".join(output.get("text", [])) for output in cell["outputs"])
        if printed:
            parts.append(f"```text\n{printed.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
