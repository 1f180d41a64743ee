package simulator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// vhciFolder is the kernel's virtual USB host. Its status files list the ports of
// all controllers.
const vhciFolder = "/sys/devices/platform/vhci_hcd.0"

// vhciFree is the state of a port with nothing in it.
const vhciFree = "004"

// ServeVHCI plugs the key into a virtual USB port of this Linux system until ctx
// ends; it then returns nil. Every program sees a USB security key. It needs the
// kernel module vhci-hcd and the rights of root.
func ServeVHCI(ctx context.Context, a *Authenticator, c VHCIConfig) error {
	h := NewHID(a)
	defer h.Close()
	d, err := newUSBDescriptors(c.USBIdentity, h.ReportSize())
	if err != nil {
		return fmt.Errorf("simulator: vhci: %w", err)
	}
	return a.WhilePowered(ctx, func(ctx context.Context) error {
		conn, err := attachVHCI(vhciFolder)
		if err != nil {
			return fmt.Errorf("simulator: %w", vhciError(err))
		}
		if c.Ready != nil {
			c.Ready()
		}
		err = newUSBLink(conn, h, d).run(ctx)
		if err == nil && ctx.Err() == nil {
			err = errors.New("the system has detached the key")
		}
		if err != nil {
			return fmt.Errorf("simulator: vhci: %w", err)
		}
		return nil
	})
}

// vhciError adds what to do about it.
func vhciError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the kernel module vhci-hcd is not loaded: run modprobe vhci-hcd as root", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run as root", err)
	}
	return err
}

// attachVHCI has the kernel take one end of a socket for a device, and returns the
// other. Closing that unplugs the device.
func attachVHCI(folder string) (net.Conn, error) {
	// Opened first, for without rights to it nothing else matters.
	attach, err := os.OpenFile(filepath.Join(folder, "attach"), os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer attach.Close()
	ports, err := freeVHCIPorts(folder)
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	ours := os.NewFile(uintptr(pair[0]), "USB/IP")
	defer ours.Close()
	defer unix.Close(pair[1]) // the kernel has it open
	for _, port := range ports {
		// Another program may have taken the port meanwhile.
		if _, err = fmt.Fprintf(attach, "%s %d %d %d", port, pair[1], usbID, usbipFullSpeed); err == nil {
			return net.FileConn(ours)
		}
	}
	if err == nil {
		err = fmt.Errorf("%s: no port of the virtual USB host is free: unplug something with usbip detach", folder)
	}
	return nil, err
}

// freeVHCIPorts lists the ports for full-speed devices with nothing in them.
func freeVHCIPorts(folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "status*"))
	if err != nil {
		return nil, err
	}
	var ports []string
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(status)) {
			// hub port sta spd dev sockfd local_busid
			if f := strings.Fields(line); len(f) > 2 && f[0] == "hs" && f[2] == vhciFree {
				ports = append(ports, f[1])
			}
		}
	}
	return ports, nil
}
