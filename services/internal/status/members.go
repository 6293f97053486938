package status

import (
	"cmp"

	"github.com/trailvane/trailvane/pipeline/jetstream"
)

// members are the live instances, by id; nil if instances of the deployment do not tell that they live.
type members []jetstream.Member

func (m members) instances() []Instance {
	all := []Instance{}
	for _, i := range m {
		all = append(all, Instance{ID: i.ID, Host: i.Host, Version: i.Version, Started: i.Started})
	}
	return all
}

// state says whether a partition is worked on, by its owner in the checkpoint, and why it has halted if it has.
func (m members) state(stage string, partition int, owner string) (State, string) {
	if m == nil && owner != "" {
		return Unknown, ""
	}
	given := "" // why somebody gave it up
	for _, i := range m {
		why := i.Stages[stage].Halted[partition]
		if owner != "" && i.ID == owner {
			if why != "" {
				return HaltedNow, why
			}
			return Running, ""
		}
		given = cmp.Or(given, why)
	}
	if given != "" {
		return HaltedNow, given
	}
	return Unowned, ""
}
