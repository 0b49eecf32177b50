package Cpanel::LogMeIn::Command::Config;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn::Command::Terminal qw(print_json print_table);
use Cpanel::LogMeIn::Session           ();

our $VERSION = '0.01';

sub actions {
    return (
        check => { options => ['json'], arguments => ['FILE'] },
        show  => { options => ['json'], arguments => ['KEY...?'] },
    );
}

sub run {
    my ( $class, $word, $option, @arguments ) = @_;
    return $word eq 'check' ? _check( $option, @arguments ) : _show( $option, @arguments );
}

# What must not be shown: the name and password of a proxy, or of a database.
sub _shown {
    my ( $name, $value ) = @_;
    $value =~ s{(://)\S*@}{$1***@}g;
    $value =~ s/\A\S*@/***@/ if $name eq 'remote_proxy' && $value !~ m{://};
    $value =~ s/(password=)[^&\s]*/$1***/gi;
    return $value;
}

sub _show {
    my ( $option, @wanted ) = @_;
    my $file     = __PACKAGE__->settings_file;
    my $sessions = Cpanel::LogMeIn::Session->new;
    my @pairs    = $sessions->settings;
    my %value    = @pairs;
    my %line     = $sessions->_settings_lines;
    my @names    = map { $pairs[ 2 * $_ ] } 0 .. $#pairs / 2;
    for my $name (@wanted) {
        next if exists $value{$name};
        print {*STDERR} "logmein: There is no setting '$name'.\n";
        return 1;
    }
    my @rows = map {
        {
            key   => $_,
            value => _shown( $_, $value{$_} ),
            file  => $line{$_} ? $file         : undef,
            line  => $line{$_} ? 0 + $line{$_} : undef
        }
    } @wanted ? @wanted : @names;
    if ( $option->{json} ) {
        print_json( \@rows );
        return 0;
    }
    print_table(
        [qw(KEY VALUE FROM)],
        sub {
            my $row = shift @rows or return;
            return [
                $row->{key}, $row->{value},
                $row->{line} ? "$file line $row->{line}" : 'default'
            ];
        }
    );
    return 0;
}

# "PATH line 3, store", in its parts.
sub _error {
    my ($fault) = @_;
    my ( $file, $line, $key ) = $fault->{place} =~ /\A(.*?)(?: line ([0-9]+)(?:, ([\w.]+))?)?\z/s;
    my $text = $fault->{text} . ( $fault->{remedy} ? " ($fault->{remedy})" : q{} );
    local $! = $fault->{errno};
    $text .= ": $!" if $fault->{errno};
    return { file => $file, line => $line && 0 + $line, key => $key, text => $text };
}

sub _check {
    my ( $option, $file ) = @_;
    die "$file: $!\n" if !-e $file;
    my $sessions = Cpanel::LogMeIn::Session->new;
    my @errors   = map { _error($_) } $sessions->_settings_errors($file);
    print_json( \@errors ) if $option->{json};
    for my $error ( $option->{json} ? () : @errors ) {
        my $place = $error->{file};
        $place .= " line $error->{line}" if $error->{line};
        $place .= ", $error->{key}"      if $error->{key};
        print "$place: $error->{text}\n" =~ s/[^[:print:]\x80-\xff\n]/?/gr;
    }
    return @errors ? 1 : 0;
}

1;

__END__

=head1 NAME

logmein-config - show and check the settings

=head1 SYNOPSIS

    logmein config show [KEY...]
    logmein config check FILE

=head1 DESCRIPTION

Describes what is in force, and why. What the settings mean is in L<logmein.conf(5)>.

=head1 COMMANDS

=head2 show

    logmein config show [KEY...]

Shows each setting, or those that are named, with its value and where it comes from: the
file and its line, or C<default>. The user names and passwords in the addresses of
proxies and databases are shown as C<***>.

=head2 check

    logmein config check FILE

Reads a settings file and names each of its errors, with file, line and key, without putting it in
place. L<logmein-doctor(8)> with C<--config FILE> also looks at what it names.

=head1 OPTIONS

=over 4

=item C<--config FILE>

C<show>: the settings file. By default the one that is in use.

=item C<--json>

Prints an array of objects. C<show>: C<key>, C<value>, and C<file> and C<line>, null for a
default. C<check>: C<file>, C<line> and C<key>, null if the error has none, and
C<text>.

=back

=head1 EXIT STATUS

0 if all is sound. 1 if C<check> found an error, or there is no such key; 2 for wrong usage, 3
for another error: C<show> can't read invalid settings.

=head1 SEE ALSO

L<logmein(1)>, L<logmein.conf(5)>, L<logmein-doctor(8)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
