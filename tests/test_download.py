"""The archive comes from the first mirror that delivers it; bad mirrors, breaks, kills and full disks do no harm."""

import hashlib
import random
import socket
import time

import pytest

from tests.limited_disk import finish, limited_disk, run_python, start_python
from tests.mirror_server import CERTIFICATE, MirrorServer
from utils.download import ARCHIVE_NAME, MIRRORS, DownloadError, fetch_archive

ARCHIVE = random.Random(0).randbytes(200_000)
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
HALF = len(ARCHIVE) // 2
IMPATIENT = {"slow_seconds": 0.5, "connect_timeout": 5}
REASONS = {
    "404": "answered 404 Not Found",
    "html": "sent a web page instead of the archive",
    "truncated": "broke off, 0.1 MB arrived",
    "wrong-hash": "sent a file with another sha256 sum",
    "stalling": "silent for 0.5 s, 0.1 MB arrived",
    "silent": "silent for 0.5 s",
    "headers": "no answer",
    "huge": "sent more than 200 MB, so it is not the archive",
    "hanging-up": "no usable answer (ConnectionError)",
    "dead": "Connection refused",
}


@pytest.fixture
def server():
    with MirrorServer(ARCHIVE) as running:
        yield running


def start_fetching(server, folder, mirror):
    """A process that fetches the archive."""
    arguments = f"[{server.url(mirror)!r}], {str(folder)!r}, {SHA256!r}"
    return start_python(f"from utils.download import fetch_archive\nfetch_archive({arguments})")


def files_under(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_the_official_host_comes_last():
    assert "cs.toronto.edu" in MIRRORS[-1]
    assert len(set(MIRRORS)) == 5 and all(mirror.startswith("https://") for mirror in MIRRORS)


def test_a_good_mirror_delivers_and_only_progress_is_printed(server, tmp_path, capfd):
    archive = fetch_archive([server.url("good")], tmp_path / "new" / "folder", SHA256)
    assert archive == tmp_path / "new" / "folder" / ARCHIVE_NAME
    assert archive.read_bytes() == ARCHIVE
    printed = capfd.readouterr()
    assert "127.0.0.1: 100%" in printed.out
    assert printed.err == "", "a notebook would save what is written to stderr"


@pytest.mark.parametrize("there, requests", [(ARCHIVE, []), (ARCHIVE[:-1], [("good", 0)])], ids=["whole", "damaged"])
def test_an_archive_that_is_there_is_fetched_again_only_if_it_is_damaged(there, requests, server, tmp_path):
    (tmp_path / ARCHIVE_NAME).write_bytes(there)
    assert fetch_archive([server.url("good")], tmp_path, SHA256).read_bytes() == ARCHIVE
    assert server.requests == requests


@pytest.mark.parametrize("bad", [*REASONS, "slow-20", "slow-1"])
def test_a_bad_mirror_is_left_for_the_next_one(bad, server, tmp_path):
    archive = fetch_archive([server.url(bad), server.url("good")], tmp_path, SHA256, **IMPATIENT)
    assert archive.read_bytes() == ARCHIVE
    tried = [(bad, 0), ("good", 0)]  # from its beginning: no mirror continues what another one sent
    assert server.requests == tried[bad == "dead" :]
    assert files_under(tmp_path) == [ARCHIVE_NAME], "partial files must go when the archive is there"


def test_if_all_mirrors_fail_one_message_names_each_with_its_reason(server, tmp_path):
    with pytest.raises(DownloadError) as failure:
        fetch_archive([server.url(bad) for bad in REASONS], tmp_path, SHA256, **IMPATIENT)
    for bad, reason in REASONS.items():
        assert f"  {server.url(bad)}: {reason}\n" in str(failure.value)
    assert "set CIFAR10_DIR to its path" in str(failure.value)
    assert ARCHIVE_NAME not in files_under(tmp_path)


def test_without_any_network_each_mirror_is_named_within_seconds(server, tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = socket.create_connection(full.getsockname())  # the one that it has room for; others get no answer
        mirrors = [server.url("dead"), f"http://127.0.0.1:{full.getsockname()[1]}/"]
        with waiting, pytest.raises(DownloadError) as failure:
            fetch_archive(mirrors, tmp_path, SHA256, connect_timeout=0.5)
    assert f"  {mirrors[0]}: Connection refused\n  {mirrors[1]}: no answer" in str(failure.value)
    assert "MB arrived" not in str(failure.value)


def test_a_body_without_end_is_cut_off_and_the_next_mirror_taken(server, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.download.MOST_BYTES", 5 * len(ARCHIVE))
    assert fetch_archive([server.url("endless"), server.url("good")], tmp_path, SHA256).read_bytes() == ARCHIVE
    with pytest.raises(DownloadError, match="sent more than"):
        fetch_archive([server.url("endless")], tmp_path / "new", SHA256)
    assert files_under(tmp_path / "new") == [], "what is too large is of no use later"


def test_a_configured_proxy_is_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url(""))
    archive = fetch_archive(["http://mirror.invalid/good"], tmp_path, SHA256, **IMPATIENT)
    assert archive.read_bytes() == ARCHIVE


def test_a_certificate_that_is_not_trusted_and_a_socks_proxy_are_named_with_the_remedy(tmp_path, monkeypatch):
    with MirrorServer(ARCHIVE, secure=True) as server:
        with pytest.raises(DownloadError, match="not trusted; behind a company's proxy, set REQUESTS_CA_BUNDLE to"):
            fetch_archive([server.url("good")], tmp_path, SHA256, **IMPATIENT)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
        assert fetch_archive([server.url("good")], tmp_path, SHA256).read_bytes() == ARCHIVE
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(DownloadError, match="a SOCKS proxy is set; pip install pysocks"):
        fetch_archive(["http://mirror.invalid/good"], tmp_path / "new", SHA256, **IMPATIENT)


@pytest.mark.parametrize(
    "mirror, starts",
    [("breaks-once", [0, HALF]), ("breaks-at-end", [0, len(ARCHIVE)]), ("no-range", [0, HALF])],
)
def test_a_broken_download_is_resumed_where_it_stopped_or_else_starts_over(mirror, starts, server, tmp_path):
    assert fetch_archive([server.url(mirror)], tmp_path, SHA256).read_bytes() == ARCHIVE
    assert [start for _, start in server.requests] == starts


def test_a_mirror_that_resumes_at_another_place_is_left(server, tmp_path):
    with pytest.raises(DownloadError, match="sent a file with another sha256 sum\n"):
        fetch_archive([server.url("other-range")], tmp_path, SHA256)


def test_a_file_with_the_wrong_hash_is_deleted_and_a_later_call_starts_over(server, tmp_path):
    for _ in range(2):
        with pytest.raises(DownloadError, match="another sha256 sum"):
            fetch_archive([server.url("wrong-hash")], tmp_path, SHA256)
        assert files_under(tmp_path) == []
    assert server.requests == [("wrong-hash", 0)] * 2


def test_if_all_are_slow_the_fastest_is_resumed_and_finishes(server, tmp_path):
    mirrors = ["slow-10", "slow-90", "slow-30"]
    archive = fetch_archive([server.url(mirror) for mirror in mirrors], tmp_path, SHA256, **IMPATIENT)
    assert archive.read_bytes() == ARCHIVE
    *first_round, (last, start) = server.requests
    assert [mirror for mirror, _ in first_round] == mirrors
    assert last == "slow-90" and start > 0


def test_a_killed_download_leaves_no_archive_and_is_resumed_by_the_next_process(server, tmp_path):
    first = start_fetching(server, tmp_path, "stalling")
    deadline = time.monotonic() + 60
    while sum(path.stat().st_size for path in tmp_path.rglob("*.partial")) < HALF:
        assert first.poll() is None and time.monotonic() < deadline, "the download should have come half-way"
        time.sleep(0.01)
    first.kill()
    finish(first, returncode=-9)
    assert not (tmp_path / ARCHIVE_NAME).exists()
    server.recovered.set()
    finish(start_fetching(server, tmp_path, "stalling"))
    assert (tmp_path / ARCHIVE_NAME).read_bytes() == ARCHIVE
    assert server.requests == [("stalling", 0), ("stalling", HALF)]


def test_two_processes_at_once_make_one_download(server, tmp_path):
    for process in [start_fetching(server, tmp_path, "slow-90") for _ in range(2)]:
        finish(process)
    assert (tmp_path / ARCHIVE_NAME).read_bytes() == ARCHIVE
    assert len(server.requests) == 1


def test_a_file_in_the_place_of_the_folder_is_one_sentence(server, tmp_path):
    (tmp_path / "cache").write_text("not a folder")
    with pytest.raises(DownloadError, match=f"^{tmp_path}/cache: expected a folder .* set TUTORIAL_CACHE to"):
        fetch_archive([server.url("good")], tmp_path / "cache", SHA256)
    assert server.requests == []


def test_a_full_disk_is_one_sentence_and_leaves_no_archive(server, tmp_path):
    folder = tmp_path / "disk"
    code = f"""
from utils.download import DownloadError, fetch_archive
try:
    fetch_archive([{server.url("good")!r}], {str(folder)!r}, {SHA256!r})
except DownloadError as error:
    print(error)
"""
    with limited_disk(folder, HALF) as limit:
        sentence = run_python(code, **limit).splitlines()[-1]
        assert not (folder / ARCHIVE_NAME).exists()
    assert sentence.startswith(f"{folder}: expected a folder with room for {ARCHIVE_NAME}")
    assert "free some space" in sentence
