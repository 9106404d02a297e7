"""The command line: quick to say what it can do, and plain about what went wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import splip
from splip import cli

HEAVY = ("torch", "torchvision", "faiss", "matplotlib", "transformers")


def quick(*words):
    """Runs a command in a process of its own -> (status, stdout, stderr); it must import nothing that takes seconds."""
    code = (
        "import sys\nfrom splip.cli import main\ntry: status = main(sys.argv[1:])\n"
        f"except SystemExit as stop: status = stop.code\nheavy = {{*{HEAVY!r}}} & {{*sys.modules}}\n"
        "assert not heavy, heavy\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)
    assert "AssertionError" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_comes_at_once(words):
    status, out, _ = quick(*words)
    assert status == 0, out
    for command in cli.COMMANDS:
        assert f"  splip {command} " in out
    assert quick("--version")[1] == f"splip {splip.__version__}\n"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help_with_an_example(command):
    status, out, _ = quick(*command.split(), "--help")
    assert status == 0 and out.startswith(f"usage: splip {command} ")
    assert f"    splip {command} " in out.partition("--debug")[2], out


def test_tables_and_a_check_of_a_data_set_need_no_torch(tmp_path, benchmark_root):
    result = {
        "trainer": "FrozenCLIP", "seed": 1, "dataset": "Toy", "setting": "zs", "gallery": "unseen", "selection": "last",
        "backbone": "splip-hybrid", "split": {"name": "one"}, "metrics": {"min_r_k": {"mAP@all": 12.5}},
    }  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(result))
    status, out, _ = quick("table", tmp_path)
    assert status == 0 and "12.50" in out, out
    status, out, _ = quick("data", "check", "Sketchy", "--root", benchmark_root, "--read")
    assert status == 1 and "sketchy_25_sake: " in out, out


@pytest.mark.parametrize(
    "words, said",
    [
        (["search", "--tpo", "3", "x.png"], "unrecognized arguments: --tpo; --tpo: did you mean --top?"),
        (["export", "--modle=x", "--output", "y"], "required: --model/--run; --modle: did you mean --model?"),
        (["data", "check", "Sketchi", "--root", "x"], "Sketchi: did you mean Sketchy?"),
        (["index", "--engine", "fais", "x"], "fais: did you mean faiss?"),
        (["serch", "x.png"], "splip: no command 'serch x.png'; serch: did you mean search?\n"),
        (["data", "chek", "x"], "splip: no command 'data chek x'; data chek: did you mean data check?\n"),
        (["data"], "splip: no command 'data'"),
        (["zzz"], "splip: no command 'zzz'\n"),
    ],
)
def test_what_is_near_is_named(words, said):
    status, out, err = quick(*words)
    assert status == 2 and said in err and not out, err
    assert ("  splip table  " in err) == err.startswith("splip: no command"), "what there is is listed"


def test_an_option_that_is_short_for_one_is_no_mistake(capsys):
    with pytest.raises(SystemExit):
        cli.main(["search", "--photo"])
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_commands_options_and_files(shell, tmp_path):
    pytest.importorskip("shtab")
    status, out, err = quick("--print-completion", shell)
    assert status == 0 and "--text-weight" in out and "--file-lists" in out, err
    (tmp_path / "script").write_text(out)
    (tmp_path / "drawing.png").write_text("")
    for typed, wanted in (
        ("splip s", "search"), ("splip data c", "check"), ("splip search --text-w", "--text-weight"),
        ("splip index --engine m", "milvus"), ("splip search dra", "drawing.png"),
    ) if shell == "bash" else ():  # fmt: skip
        line = f"source ./script; COMP_WORDS=({typed}); COMP_CWORD={len(typed.split()) - 1}; _shtab_splip"
        ask = ["bash", "-c", f'{line}; echo "${{COMPREPLY[@]}}"']
        done = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True)
        assert wanted in done.stdout.split(), (typed, done.stdout, done.stderr)
    assert quick("--print-completion", "csh")[0] == 2


def test_formats_of_encoders_are_those_that_are_written():
    from splip.cli.export import FORMATS
    from splip.models import exported

    assert FORMATS == exported.FORMATS


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
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            pass
        raise TypeError("unsupported operand type(s) for +: 'FakeTensor' and 'FakeTensor'")  # as torch.export does

    own = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's ignores it
    before = signal.getsignal(signal.SIGINT)
    assert guarded("splip export", export) == INTERRUPTED and "interrupted" in capsys.readouterr().err

    def fail():
        raise RuntimeError("export failed")

    assert guarded("splip export", fail) == OTHER and signal.getsignal(signal.SIGINT) is before
    signal.signal(signal.SIGINT, own)


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
