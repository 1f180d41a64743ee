package smallpages

import "syscall"

const prSetTHPDisable = 41 // PR_SET_THP_DISABLE in linux/prctl.h

// It is done here, and with syscall alone, to come before the packages that allocate. A
// kernel that cannot do it goes on as it did.
func init() { _, _, _ = syscall.RawSyscall6(syscall.SYS_PRCTL, prSetTHPDisable, 1, 0, 0, 0, 0) }
