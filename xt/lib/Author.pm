package Author;

# Functions for the author tests: running commands, and clean copies for builds.

use strict;
use warnings;
use Carp       qw(croak);
use Cwd        qw(getcwd);
use Exporter   qw(import);
use File::Temp qw(tempdir);

our @EXPORT_OK = qw(run tracked perl_files read_file clone built_clone has_program);

# Runs a shell command in this folder; returns its status and all it prints.
# The command must not use the build of this checkout.
sub run {
    my ( $folder, $command ) = @_;
    delete local @ENV{qw(PERL5LIB PERL_TEST_HARNESS_DUMP_TAP)};
    my $out = `cd '$folder' && ( $command ) 2>&1 </dev/null`;
    return ( $?, $out );
}

# Like run(), but dies if the command fails.
sub must {
    my ( $folder, $command ) = @_;
    my ( $status, $out )     = run( $folder, $command );
    croak "$command: status $status\n$out" if $status != 0;
    return $out;
}

# The files of the project whose names match, including new ones.
sub tracked {
    my ($pattern) = @_;
    my @files     = split /\0/, must( '.', 'git ls-files -z --cached --others --exclude-standard' );
    return grep { -e && $_ =~ $pattern } @files;
}

# The Perl files, by their names or their first lines.
sub perl_files {
    return
        grep { m{[.](?:pm|pl|t|PL|psgi|cgi)\z} || read_file($_) =~ m{\A#!/usr/bin/(?:env )?perl\b} }
        tracked(qr/./);
}

sub read_file {
    my ($path) = @_;
    open my $file, '<', $path or croak "$path: $!";
    local $/ = undef;
    return scalar readline $file;
}

# A copy of the project's files as they are now, committed or not.
sub clone {
    my $folder = tempdir( 'logmein-author-XXXXXX', TMPDIR => 1, CLEANUP => 1 );
    chmod 0755, $folder;    ## no critic (ProhibitLeadingZeros)
    open my $tar, '|-', "tar --null -T - -cf - | tar -C '$folder' -xf -" or croak "tar: $!";
    print {$tar} map { "$_\0" } tracked(qr/./);
    close $tar or croak 'tar failed';
    return $folder;
}

sub built_clone {
    my (@arguments) = @_;
    my $folder = clone();
    must( $folder, "perl Makefile.PL @arguments && make -j2" );
    return $folder;
}

sub has_program {
    my ($name) = @_;
    return ( grep { -x "$_/$name" } split /:/, $ENV{PATH} ) > 0;
}

1;
