package settings_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/settings"
	"github.com/trailvane/trailvane/schemas"
)

func TestByLane(t *testing.T) {
	b := settings.ByLane{}
	two, seven := schemas.Settings{Lane: 2, Budget: 2}, schemas.Settings{Lane: 7, Budget: 7}
	b.Set(seven)
	b.Set(schemas.Settings{Lane: 2, Budget: 1})
	b.Set(two)
	if b.Of(2) != two || b.Of(7) != seven || b.Of(0) != schemas.DefaultSettings() {
		t.Errorf("lanes 2, 7, 0: %+v, %+v, %+v", b.Of(2), b.Of(7), b.Of(0))
	}
	if d := cmp.Diff([]schemas.Settings{two, seven}, b.List()); d != "" {
		t.Errorf("list (-want +got):\n%s", d)
	}
}
