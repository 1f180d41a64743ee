// Package chromiumtest steers a real Chromium, for tests of pages, on Linux.
package chromiumtest
