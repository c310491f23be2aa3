from __future__ import annotations

import pytest

from ndcl_domainbed.downloading.connection import SourceFailure
from ndcl_domainbed.downloading.pages import address_beyond, looks_like_page
from ndcl_domainbed.downloading.part import Part
from ndcl_domainbed.downloading.transfer import Transfer
from tests.downloading.toys import HASTY

QUOTA = """<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title>
<style>.x {color: red}</style></head><body>
<p class="uc-error-caption">Sorry, you can't view or download this file at this time.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded
this file <a href="/x">recently</a>.</p><p>other text</p></body></html>"""

QUESTION = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head>
<body><form id="download-form" action="{action}" method="get">
<input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="abc"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="1-2&amp;3"></form></body></html>"""


def run(url, tmp_path):
    part = Part(tmp_path / "file.zip")
    Transfer(url, part, lambda done, total: None, HASTY).run()
    return part.path.read_bytes()


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/zip"])
def test_a_page_about_the_quota_is_no_archive(host, tmp_path, content_type):
    url = host.serve("/file", QUOTA.encode(), content_type=content_type)
    with pytest.raises(SourceFailure) as caught:
        run(url, tmp_path)
    assert str(caught.value) == (
        "sent a web page and not the file: \"Google Drive - Quota exceeded Sorry, you can't view "
        "or download this file at this time. Too many users have viewed or downloaded this file "
        'recently ."'
    )
    assert Part(tmp_path / "file.zip").size == 0
    assert len(host.asked) == 1


def test_the_question_of_a_virus_scan_is_answered(host, tmp_path):
    page = QUESTION.format(action="/download?export=download&amp;id=old")
    url = host.serve("/uc?id=abc", page.encode(), content_type="text/html")
    beyond = "/download?export=download&id=abc&confirm=t&uuid=1-2%263"
    host.serve(beyond, b"PK-content", cuts=[4])
    assert run(url, tmp_path) == b"PK-content"
    assert host.ranges(beyond) == [None, "bytes=4-"]


def test_questions_without_end(host, tmp_path):
    page = QUESTION.format(action="/download")
    host.serve("/download?id=abc&confirm=t&uuid=1-2%263", page.encode(), content_type="text/html")
    url = host.serve("/uc", page.encode(), content_type="text/html")
    with pytest.raises(SourceFailure, match="one web page after the other"):
        run(url, tmp_path)


def test_google_may_send_to_another_of_its_hosts():
    page = QUESTION.format(action="https://drive.usercontent.google.com/download")
    address = address_beyond(page, "https://drive.google.com/uc?id=abc")
    assert address.startswith("https://drive.usercontent.google.com/download?id=abc&")


@pytest.mark.parametrize(
    "action", ["https://evil.example/x", "//evil.example", "https://xgoogle.com"]
)
def test_a_page_does_not_lead_to_strangers(action):
    with pytest.raises(SourceFailure, match="leads elsewhere, to "):
        address_beyond(QUESTION.format(action=action), "https://drive.google.com/uc")


@pytest.mark.parametrize("start", [b"<!DOCTYPE HTML>", b"\xef\xbb\xbf\n <html lang=", b"<head>"])
def test_what_a_page_looks_like(start):
    assert looks_like_page(start)


@pytest.mark.parametrize("start", [b"", b"PK\x03\x04", b"\x1f\x8b\x08", b"<svg", b"html"])
def test_what_no_page_looks_like(start):
    assert not looks_like_page(start)
