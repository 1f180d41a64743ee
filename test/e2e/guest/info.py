"""Says what a key is as "fidokey info" and "fido2-token -I" do: info.py NODE"""
import sys

from fido2.ctap2 import ClientPin, Ctap2
from fido2.hid import open_device

ctap = Ctap2(open_device(sys.argv[1]))
print(ctap.info)
print(ClientPin(ctap).get_pin_retries() if ctap.info.options.get("clientPin") else "no PIN")
