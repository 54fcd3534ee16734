//go:build unix

package main

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// mayAct refuses to let root act on the data folder of somebody else while no gateway runs:
// whatever is written then is root's, and the gateway's user can read it no more.
func mayAct(folder string, uid int) error {
	info, err := os.Stat(folder)
	if err != nil || uid != 0 {
		return nil // it is made now, or opening it says what is wrong
	}
	known, ok := info.Sys().(*syscall.Stat_t)
	if !ok || known.Uid == 0 {
		return nil
	}
	name := strconv.FormatUint(uint64(known.Uid), 10)
	if owner, err := user.LookupId(name); err == nil {
		name = owner.Username
	}
	return &usageError{
		fmt.Sprintf("the data folder %s belongs to %s, who could not read what root writes into it", folder, name),
		"run it as that user: sudo -u " + name + " pavise …; root may ask a gateway that runs",
	}
}
