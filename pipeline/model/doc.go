// Package model holds the statistics that detectors share.
package model
