package catalog

import "testing"

func TestDestructive(t *testing.T) {
	for name, want := range map[string]bool{
		"DeleteBucket":            true,
		"deleteBucket":            true,
		"Delete":                  true,
		"TerminateInstances":      true,
		"RemoveTags":              true,
		"ReleaseAddress":          true,
		"ReleaseEipAddress":       true,
		"StopLogging":             true,
		"StopInstances":           true,
		"ScheduleKeyDeletion":     true,
		"DeleteFunction20150331":  true,
		"BatchDeleteImage":        true,
		"PurgeQueue":              true,
		"Stopwatch":               false,
		"Released":                false,
		"CancelKeyDeletion":       false,
		"ScheduleRunInstances":    false,
		"CreateBucket":            false,
		"UndeleteThing":           false,
		"PutDeleteMarker":         false,
		"":                        false,
		"/destructive":            false,
		"DescribeDeletedSnapshot": false,
	} {
		if got := Destructive(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}
