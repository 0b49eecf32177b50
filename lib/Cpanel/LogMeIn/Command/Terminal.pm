package Cpanel::LogMeIn::Command::Terminal;

use strict;
use warnings;
use Exporter   qw(import);
use List::Util qw(max sum0);
use POSIX      ();
use Text::Wrap ();

our $VERSION   = '0.01';
our @EXPORT_OK = qw(coloured paragraph print_json print_json_list print_table read_password);

my $TIOCGWINSZ = 0x5413;
my $GAP        = 2;
my $LEAST      = 6;        # columns of a cell that is cut

sub _is_terminal { return POSIX::isatty( fileno STDOUT ) }

# The terminal's width, COLUMNS, or 80; at least 40.
sub width {
    my ( $columns, $size ) = ( $ENV{COLUMNS}, pack 'S4' );
    $columns = ( unpack 'S4', $size )[1] if _is_terminal() && ioctl STDOUT, $TIOCGWINSZ, $size;
    $columns = 80 if ( $columns // q{} ) !~ /\A[0-9]{1,4}\z/ || !$columns;
    return $columns < 40 ? 40 : $columns;
}

# What is printed holds no control characters.
sub _printable { return $_[0] =~ s/[^[:print:]\x80-\xff]/?/gr }

# Wrapped text. Long paths stay whole, so that they can be copied.
sub paragraph {
    my ( $text, $indent ) = @_;
    my $width = width();
    local $Text::Wrap::columns  = $width > 100 ? 100 : $width;
    local $Text::Wrap::huge     = 'overflow';
    local $Text::Wrap::unexpand = 0;
    return Text::Wrap::wrap( $indent, $indent, _printable($text) ) . "\n";
}

# With an SGR number, on terminals that want it.
sub coloured {
    my ( $text, $colour ) = @_;
    return $text
        if !_is_terminal() || length( $ENV{NO_COLOR} // q{} ) || ( $ENV{TERM} // 'dumb' ) eq 'dumb';
    return "\e[${colour}m$text\e[0m";
}

sub print_json {
    my ($data) = @_;
    require JSON::PP;
    print JSON::PP->new->latin1->canonical->pretty->encode($data);
    return;
}

# An array, one item a line. next is a function that returns the next item, or nothing.
sub print_json_list {
    my ($next) = @_;
    require JSON::PP;
    my $json   = JSON::PP->new->latin1->canonical;
    my $before = "[\n";
    while ( my $item = $next->() ) {
        print $before, q{  }, $json->encode($item);
        $before = ",\n";
    }
    print $before eq "[\n" ? "[]\n" : "\n]\n";
    return;
}

# The widths of the columns: the widest is cut until all fit the terminal. Where nobody
# looks, nothing is cut.
sub _fit {
    my (@widths) = @_;
    return @widths if !_is_terminal() && !length( $ENV{COLUMNS} // q{} );
    my $room = width() - $GAP * $#widths;
    while ( sum0(@widths) > $room && max(@widths) > $LEAST ) {
        my ($widest) = grep { $widths[$_] == max(@widths) } 0 .. $#widths;
        $widths[$widest]--;
    }
    return @widths;
}

sub _widths {
    my (@rows) = @_;
    my @widths = map { 0 } @{ $rows[0] };
    for my $row (@rows) {
        $widths[$_] = max( $widths[$_], length $row->[$_] ) for 0 .. $#widths;
    }
    return @widths;
}

sub _cell {
    my ( $text, $width ) = @_;
    return length $text <= $width ? $text : substr( $text, 0, $width - 1 ) . '~';
}

# A table for a person: the headings, then the rows, each an array reference. A cell that
# is cut ends with ~. rows is a function that returns the next row, or nothing; every
# thousand rows have their own widths, so that any number of them can be printed.
sub print_table {
    my ( $headings, $next ) = @_;
    my $more = 1;
    my $page = 0;
    while ($more) {
        my @rows;
        while ( @rows < 1000 and my $row = $next->() ) {
            push @rows, [ map { _printable( $_ // q{} ) } @{$row} ];
        }
        $more = @rows == 1000;
        last if $page++ && !@rows;
        my @widths = _fit( _widths( $headings, @rows ) );
        for my $row ( $page == 1 ? ( $headings, @rows ) : @rows ) {
            my @cells = map { sprintf '%-*s', $widths[$_], _cell( $row->[$_], $widths[$_] ) }
                0 .. $#{$headings};
            print join( q{ } x $GAP, @cells ) =~ s/ +\z//r, "\n";
        }
    }
    return;
}

# A password: from a terminal, without showing it, or the first line of standard input.
# Dies if there is none. twice: asks for it again, and they must be alike.
sub read_password {
    my (%how) = @_;
    return _first_line( \*STDIN ) if $how{stdin};
    open my $terminal, '+<', '/dev/tty'
        or die "There is no terminal to ask for the password: use --password-stdin.\n";
    my $password = _ask( $terminal, 'Password: ' );
    die "The passwords differ.\n"
        if $how{twice} && $password ne _ask( $terminal, 'The same again: ' );
    return $password;
}

sub _first_line {
    my ($input) = @_;
    my $password = readline $input;
    die "There is no password.\n" if !defined $password;
    $password =~ s/\r?\n\z//;
    die "The password is empty.\n" if !length $password;
    return $password;
}

sub _ask {
    my ( $terminal, $question ) = @_;
    my $state = POSIX::Termios->new;
    my $fd    = fileno $terminal;
    my $known = $state->getattr($fd);
    my $flags = $known ? $state->getlflag : 0;
    local @SIG{qw(INT TERM)} = map {
        sub { $state->setlflag($flags); $state->setattr($fd) if $known; exit 130 }
    } 1 .. 2;
    $terminal->autoflush(1);
    print {$terminal} $question;

    if ($known) {
        $state->setlflag( $flags & ~POSIX::ECHO() );
        $state->setattr( $fd, POSIX::TCSAFLUSH() );
    }
    my $password = eval { _first_line($terminal) };
    my $error    = $@;
    if ($known) {
        $state->setlflag($flags);
        $state->setattr( $fd, POSIX::TCSANOW() );
    }
    print {$terminal} "\n";
    die $error if !defined $password;
    return $password;
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Command::Terminal - tables, passwords and colours of logmein

=head1 DESCRIPTION

Internal to L<logmein>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
