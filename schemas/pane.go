package schemas

// A PaneKind is the last token of a windows subject.
type PaneKind string

// The kinds of panes: rows of counts, and the two control records.
const (
	CountsPane PaneKind = "counts"
	TickPane   PaneKind = "tick"
	EndPane    PaneKind = "end"
)

// A PaneBatch is the body of one windows message: panes of one region and kind, in stream order.
type PaneBatch struct {
	Panes []Pane
}

// A Pane is what one input record adds to the open windows of an account and region, and the watermark that
// closes them. It is applied whole. Its rows are sorted by minute, then by tuple.
type Pane struct {
	Account   Account
	Region    string
	Lane      int      // the lane that feeds the account
	Watermark Minute   // the first minute that is not final once the pane is applied
	Close     bool     // in an end pane: insights that are still open get an End
	Strings   []string // dictionary of the rows; Strings[0] is ""
	Rows      []Row
}

// A Row counts events that are equal in everything but their id and second.
type Row struct {
	Minute        Minute
	Service       uint32
	Name          uint32
	ErrorCode     uint32
	Principal     uint32
	AccessKey     uint32
	SourceIP      uint32
	Country       uint32
	UserAgent     uint32
	ASN           uint32
	PrincipalType PrincipalType
	Write         bool
	Late          bool // its minute was closed before it came: rate models leave it out
	Traits
	Count  uint32
	Sample string // id of the first of the events
}
