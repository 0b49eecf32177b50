package SettingsFile;

# Settings files written by hand. A process may keep what it has read while a
# file is younger than two seconds, for it might still be in the making; one
# from here looks older, and counts at once.

use strict;
use warnings;
use Carp     qw(croak);
use Exporter qw(import);

our @EXPORT_OK = qw(settle write_settings_file);

my $AGE = 10;    # seconds

# Makes a file look as if it had lain there for a while; not a dead link.
sub settle {
    my ($path) = @_;
    my $then = time - $AGE;
    return utime $then, $then, $path;
}

# In one step, as an operator should.
sub write_settings_file {
    my ( $path, $text ) = @_;
    open my $file, '>', "$path.new" or croak "$path.new: $!";
    print {$file} $text;
    close $file or croak "$path.new: $!";
    chmod oct 644, "$path.new" or croak "$path.new: $!";
    settle("$path.new") or croak "$path.new: $!";
    rename "$path.new", $path or croak "$path: $!";
    return;
}

1;
