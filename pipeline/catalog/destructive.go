package catalog

import "strings"

// destructiveVerbs are the verbs of calls that take something away for good.
var destructiveVerbs = []string{"Delete", "Terminate", "Remove", "Release", "Stop", "Destroy", "Purge", "BatchDelete", "BatchRemove"}

// Destructive says whether a writing call takes something away, by its name: a verb as a word of its own, or
// "Schedule…Deletion", as KMS calls it. It does not say whether the call writes.
func Destructive(name string) bool {
	for _, verb := range destructiveVerbs {
		if startsWithWord(name, verb) {
			return true
		}
	}
	return startsWithWord(name, "Schedule") && strings.HasSuffix(BaseName(name), "Deletion")
}
