"""The command line: quick to say what it can do, and plain about what went wrong."""

import subprocess
import sys

import pytest

import splip
from splip import cli


def test_help_imports_nothing_heavy():
    code = "import sys; from splip.cli import main; status = main(['--help']); print(status, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False", done.stdout + done.stderr
    for command in ("data check", "data download", "evaluate", "export", "search"):
        assert f"  splip {command} " in done.stdout


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command.split(), "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: splip {command} ")


@pytest.mark.parametrize("words", [["data"], ["serch", "x.png"], []])
def test_what_is_no_command_lists_those_that_are(words, capsys):
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert f"no command {' '.join(words)!r}" in said and "splip search" in said


def test_what_the_user_can_mend_is_one_line(tmp_path, capsys):
    words = ["data", "download", "Sketchy", "--root", str(tmp_path), "--archive", str(tmp_path / "gone.zip")]
    assert cli.main(words) == 2
    assert capsys.readouterr().err == f"splip data download: no archive at {tmp_path / 'gone.zip'}\n"


def test_public_names_are_there_though_imported_late():
    from splip.model import SpLIP

    assert splip.SpLIP is SpLIP and all(getattr(splip, name) for name in splip.__all__)
    with pytest.raises(AttributeError, match="module 'splip' has no attribute 'nothing'"):
        splip.nothing  # noqa: B018


def test_ctrl_c_that_a_library_turned_into_its_own_error(capsys):
    from splip.common.errors import INTERRUPTED, OTHER, guarded

    def export():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("export failed") from error

    assert guarded("splip export", export) == INTERRUPTED and "interrupted" in capsys.readouterr().err

    def fail():
        raise RuntimeError("export failed")

    assert guarded("splip export", fail) == OTHER


def test_pillows_warnings_which_name_no_file_are_not_shown(tmp_path):
    from odd_pictures import SHOWN

    (tmp_path / "x.jpg").write_bytes(SHOWN["exif_cut.jpg"])
    code = f"""import sys
from splip.common.errors import guarded
from splip.data.images import open_rgb
guarded("splip", lambda: print(open_rgb({str(tmp_path / "x.jpg")!r}).size), debug=sys.argv[1] == "debug")"""
    for mode, silent in (("", True), ("debug", False)):
        done = subprocess.run([sys.executable, "-c", code, mode], capture_output=True, text=True)
        assert done.stdout == "(40, 30)\n" and ("EXIF" not in done.stderr) == silent, done.stderr


def test_a_warning_is_one_line_that_names_the_command():
    code = """import sys, warnings
from splip.common.errors import guarded
def run():
    warnings.warn("this CPU is slow\\n  in bf16", UserWarning)
    return 0
guarded("train.py", run, debug=sys.argv[1] == "debug")"""
    for mode, said in (("", "train.py: warning: this CPU is slow in bf16\n"), ("debug", "UserWarning: this CPU")):
        done = subprocess.run([sys.executable, "-c", code, mode], capture_output=True, text=True)
        assert said in done.stderr and (mode or done.stderr == said), done.stderr
