// Package settings keeps what a deployment was told, as far as a processor has read it: settings hold for the accounts of
// a lane, from their record on, so that lanes that are read at different speeds never change each other's results.
package settings

import (
	"maps"
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// ByLane is the last settings of each lane.
type ByLane map[int]schemas.Settings

// Set takes new settings for their lane.
func (b ByLane) Set(s schemas.Settings) { b[s.Lane] = s }

// Of returns the settings of a lane: the defaults until a record of them has come.
func (b ByLane) Of(lane int) schemas.Settings {
	if s, ok := b[lane]; ok {
		return s
	}
	return schemas.DefaultSettings()
}

// List returns all settings by lane, as processors keep them in their state; Set gives them back.
func (b ByLane) List() []schemas.Settings {
	var all []schemas.Settings
	for _, lane := range slices.Sorted(maps.Keys(b)) {
		all = append(all, b[lane])
	}
	return all
}
