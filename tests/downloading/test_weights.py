"""Weights of pretrained networks: downloaded once, used without a network, never waited for."""

import socket

import pytest
import torch

from imbalance_splits.errors import InputError
from ndcl_domainbed.scripts.download import main
from ndcl_domainbed.testbed.networks import ResNet, TimmBackbone, pretrained, weight_downloads
from ndcl_domainbed.testbed.networks.pretrained import download_weights

timm = pytest.importorskip("timm")
constants = pytest.importorskip("huggingface_hub.constants")

NAME = "test_resnet.r160_in1k"
FILE = f"/timm/{NAME}/resolve/main/model.safetensors"


@pytest.fixture
def hub(host, tmp_path, monkeypatch):
    """A host that stands for the Hugging Face Hub and has the weights of timm's smallest ResNet."""
    from safetensors.torch import save

    torch.manual_seed(3)
    body = save(timm.create_model(NAME).state_dict())
    host.serve(FILE, body, headers={"X-Repo-Commit": "0a1b", "ETag": '"abc"'})
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, host.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", host.address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return host


@pytest.fixture
def silence(monkeypatch, tmp_path):
    """A network that swallows whatever is sent, and no weights on this machine."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        for variable in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{listening.getsockname()[1]}")
        for variable in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(weight_downloads, "SECONDS", 0.2)
        yield


def test_weights_are_downloaded_once_and_found_without_a_network(hub):
    shown = download_weights(f"timm:{NAME}")
    assert shown.startswith(f"timm/{NAME}, sha256:")
    hub.asked.clear()
    assert download_weights(f"timm:{NAME}") == shown  # nor is the Hub asked for a newer version
    assert hub.asked == []
    hub.__exit__()
    network = TimmBackbone((3, 64, 64), {}, NAME)
    assert shown.endswith(str(network.weights_source.digest))


def test_weights_that_the_hub_has_in_another_form_are_found(hub, tmp_path):
    state, old = timm.create_model(NAME).state_dict(), tmp_path / "pytorch_model.bin"
    torch.save(state, old)
    del hub.files[FILE]
    headers = {"X-Repo-Commit": "0a1b", "ETag": '"old"'}
    hub.serve(FILE.replace("model.safetensors", old.name), old.read_bytes(), headers=headers)
    shown = download_weights(f"timm:{NAME}")
    hub.__exit__()
    assert download_weights(f"timm:{NAME}") == shown


@pytest.mark.parametrize(
    ("make", "name", "host"),
    [
        (lambda: ResNet((3, 64, 64), {}, "resnet18"), "resnet18", "download.pytorch.org"),
        (lambda: TimmBackbone((3, 64, 64), {}, NAME), f"timm:{NAME}", "huggingface.co"),
    ],
)
def test_a_job_without_weights_and_network_names_the_command(silence, make, name, host):
    with pytest.raises(InputError) as caught:
        make()
    line, advice = str(caught.value).splitlines()
    assert line.startswith(f"the pretrained weights of {name} could not be loaded ({host} does not")
    assert f"`ndcl-domainbed download --weights {name}`" in advice
    with pytest.raises(InputError, match=r"could not be loaded \(\S+ does not answer: .*\)\.$"):
        download_weights(name)  # which is that command: it does not name itself


def test_the_command_shows_how_a_job_finds_the_weights(tmp_path, monkeypatch, capsys):
    for variable in ("TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(variable, "/elsewhere")
    monkeypatch.setattr(pretrained, "download_weights", lambda name: f"weights of {name}")
    assert main(["--weights", "resnet18", "resnet50", "--weights_dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "resnet18: weights of resnet18",
        "resnet50: weights of resnet50",
        f"Jobs find them with: export TORCH_HOME={tmp_path}/torch HF_HOME={tmp_path}/huggingface",
    ]
    assert main(["--weights", "resnet18"]) == 0
    assert capsys.readouterr().out.startswith(
        "resnet18: weights of resnet18\nJobs of the same user"
    )


def test_names_that_do_not_exist():
    with pytest.raises(InputError, match="unknown weights 'resnet81'; did you mean 'resnet18'"):
        download_weights("resnet81")
    with pytest.raises(InputError, match="timm has no network 'nothing'"):
        download_weights("timm:nothing")
    with pytest.raises(InputError, match="name a --dataset or"):
        main([])
