"""What errors of CUDA, cuBLAS, cuDNN and the driver say, and whose fault each is.

Texts of torch 2.11 to 2.13, CUDA 12 and 13, cuDNN 9. Imports no torch.
"""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """Whose fault a failure is."""

    CONFIGURATION = "configuration"
    NEIGHBOUR = "neighbour"  # other processes hold the card's memory
    DEVICE = "device"  # this card fails, others may work
    MACHINE = "machine"  # memory of all networks, disk, data, installation
    UNKNOWN = "unknown"  # the trial is repeated to find out, see hpsearch.driver.blame


C, N, D, M, U = (
    Fault.CONFIGURATION,
    Fault.NEIGHBOUR,
    Fault.DEVICE,
    Fault.MACHINE,
    Fault.UNKNOWN,
)

ROWS: tuple[tuple[str, Fault], ...] = (
    # Memory. The caching allocator asks for the network, the other places for what every network
    # needs: a context, a library's handle, a kernel's code.
    ("cuda out of memory. tried to allocate", C),
    ("hip out of memory. tried to allocate", C),
    ("cuda error: out of memory", N),
    ("cublas_status_alloc_failed", N),
    ("cublas_status_not_initialized", N),
    ("cudnn_status_alloc_failed", N),
    ("cudnn_status_not_initialized", N),
    ("cudnn_status_internal_error_device_allocation_failed", N),
    ("unable to find an engine to execute this computation", N),
    # A size that no card can launch.
    ("cuda error: invalid configuration argument", C),
    ("too many resources requested for launch", C),
    ("canuse32bitindexmath", C),
    # The card itself.
    ("uncorrectable ecc error", D),
    ("uncorrectable nvlink error", D),
    ("contained error", D),
    ("hardware stack error", D),
    ("busy or unavailable", D),
    ("no cuda-capable device is detected", D),
    ("no cuda gpus are available", D),
    ("gpu is lost", D),
    ("fallen off the bus", D),
    ("gpu requires reset", D),
    ("invalid device ordinal", D),
    ("cuda error: unknown error", D),
    ("cuda error: initialization error", D),
    ("the launch timed out and was terminated", D),
    # Driver and installation.
    ("driver version is insufficient", M),
    ("driver on your system is too old", M),
    ("found no nvidia driver", M),
    ("torch not compiled with cuda enabled", M),
    ("not compiled with cuda support", M),
    ("no kernel image is available", M),
    ("unsupported toolchain", M),
    ("forward compatibility was attempted", M),
    ("unsupported display driver / cuda driver combination", M),
    ("system not yet initialized", M),
    ("cublas_status_arch_mismatch", M),
    ("cublas_status_license_error", M),
    ("cudnn_status_arch_mismatch", M),
    ("cudnn_status_version_mismatch", M),
    ("cudnn_status_sublibrary", M),
    ("could not load library libcudnn", M),
    ("libcuda.so", M),
    # Wrong work of a kernel: a bug, a shape or a failing card. Repeating the trial tells.
    ("an illegal memory access was encountered", U),
    ("device-side assert triggered", U),
    ("misaligned address", U),
    ("illegal instruction", U),
    ("invalid program counter", U),
    ("unspecified launch failure", U),
    ("cublas_status_execution_failed", U),
    ("cublas_status_internal_error", U),
    ("cudnn_status_execution_failed", U),
    ("cudnn_status_internal_error", U),
)
"""Parts of messages in small letters; the first that fits decides."""


def fault_in(message: str) -> Fault | None:
    """Return whose fault a message of a card's libraries names, None for other messages."""
    text = message.lower()
    return next((fault for part, fault in ROWS if part in text), None)
