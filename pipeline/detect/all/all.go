// Package all lists the detectors. A folder beside it that has a detector.go with a type Detector and a function New is
// one; the list is generated from the folders, so adding a detector is adding a folder.
package all

import (
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

//go:generate go run generate.go

// Detectors returns a constructor for each insight type.
func Detectors() map[schemas.InsightType]func() detect.Detector {
	m := make(map[schemas.InsightType]func() detect.Detector, len(list))
	for _, d := range list {
		m[d.kind] = d.make
	}
	return m
}

// An entry is one detector.
type entry struct {
	kind schemas.InsightType
	make func() detect.Detector
}
