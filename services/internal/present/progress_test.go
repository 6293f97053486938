package present

import "testing"

func TestFit(t *testing.T) {
	for name, c := range map[string]struct {
		text          string
		width, height int
		want          string
	}{
		"it fits":               {"a\nb\nc\n", 80, 4, "a\nb\nc\n"},
		"as high as the screen": {"a\nb\nc\nd\n", 80, 4, "a\nb\n… 2 lines more\n"},
		"long lines take two":   {"first\n" + "123456\nc\n", 5, 4, "first\n… 2 lines more\n"},
		"the first line stays":  {"a\nb\n", 80, 1, "a\n… 1 line more\n"},
		"empty lines count":     {"a\n\n\n\nb\n", 80, 5, "a\n\n\n… 2 lines more\n"},
		"wide, and as wide":     {"12345\n", 5, 2, "12345\n"},
	} {
		if got := onScreen(c.text, c.width, c.height); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
