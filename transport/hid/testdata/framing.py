"""Prints how many reports per second python3-fido2 makes and reads: framing.py BYTES"""
import sys
import time

from fido2.hid import CTAPHID, CtapHidDevice
from fido2.hid.base import HidDescriptor

CHANNEL = bytes.fromhex("11223344")


class Loop:
    """A port that returns the same reports for each message."""

    def __init__(self):
        self.reports, self.next = [], 0

    def write_packet(self, packet):
        if packet[4] == 0x86:  # INIT: nonce, channel, versions, capabilities
            answer = packet[7:15] + CHANNEL + bytes([2, 1, 0, 0, 4])
            self.reports = [(b"\xff" * 4 + bytes([0x86, 0, 17]) + answer).ljust(64, b"\0")]
        self.next = 0

    def read_packet(self):
        self.next += 1
        return self.reports[self.next - 1]

    def close(self):
        pass


def frames(data):
    yield (CHANNEL + bytes([0x81]) + len(data).to_bytes(2, "big") + data[:57]).ljust(64, b"\0")
    for n, start in enumerate(range(57, len(data), 59)):
        yield (CHANNEL + bytes([n]) + data[start:start + 59]).ljust(64, b"\0")


port = Loop()
device = CtapHidDevice(HidDescriptor("path", 1, 1, 64, 64), port)
data = bytes(int(sys.argv[1]))
port.reports = list(frames(data))
count, start = 0, time.perf_counter()
while time.perf_counter() - start < 1:
    device.call(CTAPHID.PING, data)
    count += 2 * len(port.reports)
print(count / (time.perf_counter() - start))
