// Package all lists the detectors. (Written by hand until it is generated.)
package all

import (
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/apicallrate"
	"github.com/trailvane/trailvane/schemas"
)

// Detectors returns a constructor for each insight type.
func Detectors() map[schemas.InsightType]func() detect.Detector {
	return map[schemas.InsightType]func() detect.Detector{
		schemas.APICallRate: func() detect.Detector { return apicallrate.New() },
	}
}
